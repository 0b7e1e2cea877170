package acceptance

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// examination is what log fsck says of one stream.
type examination struct {
	Stream                     string
	Messages, Archived, Logged uint64
	Differences                []struct {
		First, Last   uint64
		Side, Problem string
	}
}

// fsck runs aliquot log fsck and decodes what it says.
func fsck(t *testing.T, dir string, arguments ...string) (ok bool, streams []examination) {
	t.Helper()
	var done struct {
		OK      bool
		Streams []examination
	}
	c := aliquot(t, append([]string{"log", "fsck", "--data", dir, "--json"}, arguments...)...).into(t, &done)
	if (c.code == 0) != done.OK || c.code > 1 {
		t.Fatalf("fsck: exit %d, ok %t\n%s%s", c.code, done.OK, c.out, c.err)
	}
	return done.OK, done.Streams
}

// bit flips one bit in the middle of a file, found by a pattern below the folder.
func bit(t *testing.T, dir, pattern string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	file := found[len(found)-1]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// remove deletes what is there below the folder.
func remove(t *testing.T, dir, name string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(name); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

// halve cuts a file in the middle.
func halve(t *testing.T, dir, name string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

// "Broker and database lose or alter data in ways nobody sees": whatever is
// altered or missing is found at the start, or by log fsck, and named; and what
// the broker lost comes back from the second copy.
func TestWhatIsAlteredIsNamedAndRestored(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	if ok, streams := fsck(t, whole); !ok {
		t.Fatalf("%+v", streams)
	}
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		stream string
		side   string
		starts bool // it is found by fsck, not at the start
	}{
		{"a bit of a block of usage", func(t *testing.T, dir string) { bit(t, dir, broker+"USAGE-0-0/msgs/1.blk") },
			"USAGE-0-0", "stream", false},
		{"a bit of a block of usage, and the index is lost", func(t *testing.T, dir string) {
			bit(t, dir, broker+"USAGE-0-0/msgs/1.blk")
			remove(t, dir, broker+"USAGE-0-0/msgs/index.db")
		}, "USAGE-0-0", "stream", false},
		{"a bit of a block of decisions", func(t *testing.T, dir string) { bit(t, dir, broker+"CONTROL/msgs/1.blk") },
			"CONTROL", "stream", false},
		{"a bit of a block of the journal", func(t *testing.T, dir string) { bit(t, dir, broker+"LEDGER/msgs/1.blk") },
			"LEDGER", "stream", false},
		{"the end of the last block", func(t *testing.T, dir string) {
			halve(t, dir, broker+"USAGE-0-0/msgs/1.blk")
			remove(t, dir, broker+"USAGE-0-0/msgs/index.db")
		}, "USAGE-0-0", "stream", false},
		{"the register's blocks", func(t *testing.T, dir string) { remove(t, dir, broker+"REGISTER/msgs") },
			"REGISTER", "stream", false},
		{"a bit of a tile", func(t *testing.T, dir string) {
			damages[0].to(t, kind{pattern: "tlog/control/tile/0/000.p/*"}.file(t, dir, ""))
		},
			"CONTROL", "log", false},
		{"a bit of a bundle of leaves", func(t *testing.T, dir string) {
			damages[0].to(t, kind{pattern: "tlog/usage-0-0/tile/entries/000.p/*"}.file(t, dir, ""))
		},
			"USAGE-0-0", "log", false},
		{"a bit of a checkpoint", func(t *testing.T, dir string) { bit(t, dir, "tlog/ledger/checkpoint") },
			"LEDGER", "log", false},
		{"a bit of an archive", func(t *testing.T, dir string) { bit(t, dir, "archive/usage-0-0/000000000001.arc") },
			"USAGE-0-0", "archive", false},
		{"an archive that is gone", func(t *testing.T, dir string) { remove(t, dir, "archive/payout/000000000001.arc") },
			"PAYOUT", "archive", false},
		{"outcomes", func(t *testing.T, dir string) {
			change(t, dir, "UPDATE outcome SET runs = (SELECT runs FROM outcome ORDER BY position DESC LIMIT 1) WHERE position = (SELECT min(position) FROM outcome)")
		}, "USAGE-0-0", "store", true},
		{"a rewound cursor", func(t *testing.T, dir string) { change(t, dir, "UPDATE cursor SET position = position - 1") },
			"USAGE-0-0", "store", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			test.damage(t, dir)

			s, answers := launch(t, dir, nil)
			var ok bool
			select {
			case _, ok = <-answers: // Closed where it ends without answering.
			case <-time.After(startPatience):
				t.Fatalf("it neither answers nor ends\n%s", s.log)
			}
			if ok != test.starts {
				t.Errorf("it answers: %t\n%s", ok, s.log)
			}
			if ok {
				s.kill()
			} else {
				<-s.ended
				if said := s.log.String(); !strings.Contains(strings.ToLower(said), strings.ToLower(test.stream)) {
					t.Errorf("it does not name %s: %s", test.stream, said)
				}
				t.Log(s.log)
			}

			ok, streams := fsck(t, dir)
			named := false
			for _, e := range streams {
				for _, d := range e.Differences {
					t.Log(e.Stream, d)
					named = named || e.Stream == test.stream && d.Side == test.side && d.First > 0 && d.Problem != ""
					if e.Stream != test.stream {
						t.Errorf("%s is blamed", e.Stream)
					}
				}
			}
			if ok || !named {
				t.Fatalf("not named: %+v", streams)
			}
			if c := aliquot(t, "log", "fsck", "--restore", "--data", dir); c.code == 0 || !strings.Contains(c.err, "--as") {
				t.Errorf("nobody restores: exit %d %s", c.code, c.err)
			}
			if ok, streams := fsck(t, dir, "--restore", "--as", "auditor"); !ok {
				t.Fatalf("restored: %+v", streams)
			}
			if ok, streams := fsck(t, dir); !ok {
				t.Fatalf("after restoring: %+v", streams)
			}
			s = up(t, dir)
			s.settled()
			s.clean(true)
			s.stop()
		})
	}
}

func TestTheLogsAreListedAndPublic(t *testing.T) {
	t.Parallel()
	dir := lived(t)
	public := strings.TrimSpace(aliquot(t, "log", "keys", "--data", dir).ok(t).out)
	if !strings.HasPrefix(public, "aliquot/") {
		t.Fatalf("key %q", public)
	}
	var logs []struct {
		Log, Origin, Root string
		Size              int
		Time              time.Time
	}
	aliquot(t, "log", "list", "--data", dir, "--json").ok(t).into(t, &logs)
	if len(logs) != 5 {
		t.Fatalf("%d logs", len(logs))
	}
	s := up(t, dir)
	for _, l := range logs {
		if l.Size == 0 || l.Root == "" || l.Time.IsZero() || !strings.HasPrefix(public, strings.TrimSuffix(l.Origin, "/"+l.Log)+"+") {
			t.Errorf("%+v", l)
		}
		for path, want := range map[string]int{
			"/tlog/" + l.Log + "/checkpoint":     http.StatusOK,
			"/tlog/" + l.Log + "/tile/0/000.p/1": http.StatusOK,
			"/tlog/" + l.Log + "/tile/0/001":     http.StatusNotFound,
			"/tlog/" + l.Log + "/log.key":        http.StatusNotFound,
		} {
			response, err := http.Get(s.url + path) // Nobody's token.
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err = errors.Join(err, response.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != want {
				t.Errorf("%s: %s", path, response.Status)
			}
			if strings.HasSuffix(path, "/checkpoint") && !strings.HasPrefix(string(body), l.Origin+"\n") {
				t.Errorf("%s: %s", path, body)
			}
		}
	}
	if c := aliquot(t, "log", "fsck", "--data", dir); c.code == 0 || !strings.Contains(c.err, "in use") {
		t.Errorf("fsck beside a running process: exit %d %s", c.code, c.err)
	}
	s.stop()
}
