package apart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aliquot-engine/aliquot/internal/eventlog/clustertest"
)

// "An unreachable or wrong database, a stream that is not ours, two clusters
// mixed up, expired certificates, a wrong key: each refuses to start with one
// clear line."
func TestAWrongStartIsRefusedWithOneLine(t *testing.T) {
	t.Parallel()
	i := install(t)
	settle := i.up("settle") // makes the streams, and makes the database ours
	settle.stop()

	empty, other := i.postgres.Database(t), i.postgres.Database(t)
	i.postgres.Run(t, other, "CREATE TABLE customers (id int)")
	twin := clustertest.Start(t, clustertest.Options{Like: i.cluster})
	expired := clustertest.Start(t, clustertest.Options{Expired: true})
	stranger := filepath.Join(i.dir, "stranger.nk")
	if err := clustertest.WriteSeed(stranger); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(i.dir, "short.token")
	if err := os.WriteFile(short, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.foreignStream("USAGE-9-0", "usage.9")
	mixed := i.runWith([]string{"NATS_URL=" + twin.URL()}, "settle") // makes the twin's streams
	if mixed.code != 1 {
		t.Fatalf("settle under another installation's streams: exit %d\n%s", mixed.code, mixed.err)
	}

	for name, one := range map[string]struct {
		environment []string
		says        string
	}{
		"no server there":         {[]string{"NATS_URL=tls://127.0.0.1:1"}, "no server answers"},
		"a wrong key":             {[]string{"NATS_NKEY_FILE=" + stranger}, "does not admit this nkey"},
		"no key file":             {[]string{"NATS_NKEY_FILE=" + filepath.Join(i.dir, "none")}, "none: no such file"},
		"an expired certificate":  {[]string{"NATS_URL=" + expired.URL(), "NATS_CA_FILE=" + expired.CAFile(), "NATS_NKEY_FILE=" + expired.NKeyFile()}, "certificate has expired"},
		"another authority":       {[]string{"NATS_CA_FILE=" + expired.CAFile()}, "certificate"},
		"no database there":       {[]string{"DATABASE_URL=postgres://aliquot@127.0.0.1:1/aliquot?sslmode=disable"}, "127.0.0.1:1"},
		"an empty database":       {[]string{"DATABASE_URL=" + empty}, "run aliquot migrate"},
		"another's database":      {[]string{"DATABASE_URL=" + other}, "is it another database"},
		"a stream not ours":       {[]string{"ALIQUOT_PARTITIONS=9"}, "aliquot did not make it"},
		"the database of another": {[]string{"NATS_URL=" + twin.URL()}, "the database belongs to installation"},
		"two clusters":            {[]string{"NATS_URL=" + i.cluster.NodeURL(0) + "," + twin.NodeURL(1)}, "belong to two clusters"},
		"a partition that is none": {[]string{"ALIQUOT_PARTITIONS=3-1"},
			`ALIQUOT_PARTITIONS: "3-1" is neither a number nor a range`},
		"a token that is guessed": {[]string{"ALIQUOT_OPERATOR_TOKEN_FILE=" + short}, "at least 16"},
	} {
		t.Run(name, func(t *testing.T) {
			role := "settle"
			if strings.Contains(name, "token") {
				role = "ingest"
			}
			s := i.runWith(one.environment, role)
			lines := strings.Split(strings.TrimSpace(s.err), "\n")
			if s.code != 1 || len(lines) != 1 || !strings.HasPrefix(lines[0], "aliquot: ") || !strings.Contains(lines[0], one.says) {
				t.Errorf("exit %d, want one line with %q:\n%s", s.code, one.says, s.err)
			}
		})
	}
	// Everything that is wrong is said at once, a line each.
	s := i.runWith([]string{"NATS_URL=", "DATABASE_URL=mysql://x", "ALIQUOT_REPLICAS=2", "ALIQUOT_PARTITIONS=x", "ALIQUOT_LISTEN=here"}, "settle")
	for _, want := range []string{"NATS_URL", "DATABASE_URL", "ALIQUOT_REPLICAS", "ALIQUOT_PARTITIONS", "ALIQUOT_LISTEN"} {
		if s.code != 1 || !strings.Contains(s.err, want) {
			t.Errorf("exit %d, %s is not named:\n%s", s.code, want, s.err)
		}
	}
}

// foreignStream makes a stream as somebody else would, with a name of ours and
// the shape of one.
func (i *installation) foreignStream(name, subject string) {
	i.t.Helper()
	conn, err := i.cluster.Connect()
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		i.t.Fatal(err)
	}
	ours, err := js.Stream(i.t.Context(), "CONTROL")
	if err != nil {
		i.t.Fatal(err)
	}
	config := ours.CachedInfo().Config
	config.Name, config.Subjects, config.Metadata = name, []string{subject}, nil
	if _, err := js.CreateStream(i.t.Context(), config); err != nil {
		i.t.Fatal(err)
	}
}
