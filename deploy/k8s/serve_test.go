package k8s

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	corev1 "k8s.io/api/core/v1"
)

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// installation is the production overlay, running: three NATS servers with the
// manifests' configuration, and each service with its arguments and variables.
// Only addresses, the names of folders and the database, which is a file, are
// different.
type installation struct {
	at map[string]string // URL, by command
}

var (
	running *installation // set once it is started
	ends    []func()      // functions that stop it
)

// installed starts the installation, once for all tests.
func installed(t *testing.T) *installation {
	t.Helper()
	if running != nil {
		return running
	}
	w := assemble(t, "production")
	folder, err := os.MkdirTemp("", "aliquot-k8s-")
	if err != nil {
		t.Fatal(err)
	}
	ends = append(ends, func() { _ = os.RemoveAll(folder) })
	natsURL := w.startServers(t, folder)
	i := &installation{at: map[string]string{}}
	for _, one := range w.workloads {
		// A workload with flags, such as relief, takes over from another one.
		if c := &one.pod.Spec.Containers[0]; isOurs(c) && one.runs() && len(c.Args) == 1 {
			i.at[c.Args[0]] = w.start(t, one, c, folder, natsURL)
		}
	}
	running = i
	return i
}

// serves reports whether a process of a command answers a path.
func (i *installation) serves(command, path string) bool {
	response, err := http.Get(i.at[command] + path)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode != http.StatusNotFound
}

// startServers starts the NATS cluster and returns its URL. Keys and
// certificates are below the folder.
func (w *world) startServers(t *testing.T, folder string) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	tls := filepath.Join(folder, "tls")
	if err := os.Mkdir(tls, 0o700); err != nil {
		t.Fatal(err)
	}
	certificates(t, tls)
	write(t, filepath.Join(folder, "aliquot.nk"), seed)
	data, err := os.ReadFile(filepath.Join(tls, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "ca.crt"), data)

	var addresses, routes []string
	var instances []*server.Server
	for i := range 3 {
		o := parseFor(t, w, "nats-"+strconv.Itoa(i), public, tls)
		o.Host, o.Port, o.HTTPPort, o.PidFile, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, 0, "", true, true
		o.Cluster.Host, o.Cluster.Port = "127.0.0.1", server.RANDOM_PORT
		o.StoreDir = filepath.Join(folder, o.ServerName)
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		go s.Start() // Shutdown ends it
		ends = append([]func(){s.Shutdown}, ends...)
		if !s.ReadyForConnections(patience) {
			t.Fatal("a NATS server does not start")
		}
		addresses = append(addresses, "tls://"+s.Addr().String())
		routes = append(routes, "tls://"+s.ClusterAddr().String())
		instances = append(instances, s)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if slices.ContainsFunc(instances, func(s *server.Server) bool { return s.JetStreamIsLeader() }) {
			return strings.Join(addresses, ",")
		}
		if time.Now().After(end) {
			t.Fatal("the NATS servers have no leader")
		}
	}
}

// start starts what a container runs, and returns its address.
func (w *world) start(t *testing.T, one *workload, c *corev1.Container, folder, natsURL string) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := exec.Command(file, c.Args...)
	p.Env = []string{"HOME=" + folder}
	for name, value := range w.variables(c) {
		switch {
		case name == "NATS_URL":
			value = natsURL
		case name == "DATABASE_URL":
			value = "sqlite:" + filepath.Join(folder, "ledger.db")
		case name == "ALIQUOT_LISTEN", name == "ALIQUOT_METRICS_LISTEN":
			value = "127.0.0.1:0"
		case value == "/data":
			value = filepath.Join(folder, one.name)
		case name == "ALIQUOT_OPERATOR_TOKEN_FILE":
			value = filepath.Join(folder, "token")
			write(t, value, []byte("an operator's token\n"))
		case strings.HasPrefix(value, "/"):
			value = filepath.Join(folder, filepath.Base(value))
		}
		p.Env = append(p.Env, name+"="+value)
	}
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ends = append([]func(){func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
		defer timer.Stop()
		if err := p.Wait(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", one, err)
		}
	}}, ends...)
	line, err := bufio.NewReader(out).ReadString('\n')
	said := regexp.MustCompile(`answers on (\S+)`).FindStringSubmatch(line)
	if said == nil {
		t.Fatalf("%s says %q: %v", one, line, err)
	}
	return said[1]
}

// What the manifests run becomes ready, with its arguments and variables, on
// servers with their configuration.
func TestTheServicesStartAndBecomeReady(t *testing.T) {
	i := installed(t)
	for command, at := range i.at {
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			response, err := http.Get(at + "/readyz")
			if err == nil {
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					break
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not ready: %v", command, err)
			}
		}
		if u, err := url.Parse(at); err != nil || u.Port() == "" {
			t.Errorf("%s answers at %s", command, at)
		}
	}
	for _, command := range []string{"ingest", "settle", "distribute", "keep"} {
		if i.at[command] == "" {
			t.Errorf("nothing runs %s", command)
		}
	}
}
