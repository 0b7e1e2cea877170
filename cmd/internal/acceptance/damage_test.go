package acceptance

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mended is what log fsck says in full.
type mended struct {
	OK       bool
	Streams  []examination
	Beside   []struct{ Name, Problem string }
	Restored []struct{ Stream, Did, Root string }
}

// examine runs log fsck and decodes all of it.
func examine(t *testing.T, dir string, arguments ...string) (m mended, c said) {
	t.Helper()
	c = aliquot(t, append([]string{"log", "fsck", "--data", dir, "--json"}, arguments...)...).into(t, &m)
	if (c.code == 0) != m.OK || c.code > 1 {
		t.Fatalf("fsck: exit %d, ok %t\n%s%s", c.code, m.OK, c.out, c.err)
	}
	return m, c
}

// all lists everything that is named: a stream with its side, or what is beside.
func (m *mended) all() []string {
	list := blamed(m.Streams)
	for _, b := range m.Beside {
		list = append(list, b.Name)
	}
	return list
}

// damages are what happens to files.
var damages = []struct {
	name string
	to   func(t *testing.T, file string)
}{
	{"flipped", func(t *testing.T, file string) {
		data, err := os.ReadFile(file)
		if err == nil && len(data) > 0 {
			data[len(data)/2] ^= 8
			err = os.WriteFile(file, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}},
	{"cut", func(t *testing.T, file string) {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}},
	{"deleted", func(t *testing.T, file string) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}},
}

// kind is a kind of file in an installation's folder.
type kind struct {
	pattern string // %s stands for a stream, in upper or lower case as the pattern is
	named   string // how fsck blames it; %s stands for the stream; empty: a start needs no mending
	silent  string // damages that leave nothing to name, since what is left is right
}

// streamKinds has a file in every stream that has a log.
var streamKinds = []kind{
	{broker + "%s/meta.inf", "%s stream", ""},
	{broker + "%s/meta.sum", "%s stream", ""},
	{broker + "%s/msgs/*.blk", "%s stream", ""},
	{broker + "%s/msgs/index.db", "", ""},
	{"archive/%s/*.arc", "%s archive", ""},
	{"archive/%s.checkpoint", "%s log", ""},
	{"tlog/%s/checkpoint", "%s log", ""},
	{"tlog/%s/tile/0/000.p/*", "%s log", ""},
	{"tlog/%s/tile/entries/000.p/*", "%s log", ""},
}

// otherKinds stand once in a folder. Those of one row are damaged together, with
// kinds of the streams.
var otherKinds = [][]kind{
	{
		{broker + "REFUSED/meta.inf", "REFUSED", ""},
		{"ids/*.sst", "ids", ""},
		{"keys/log.pub", filepath.Join("keys", "log.pub"), ""},
	},
	{
		{broker + "REFUSED/meta.sum", "REFUSED", ""},
		{"ids/MANIFEST-*", "ids", ""},
		{"operator.token", "", "flipped cut"}, // another token
		{"streams/LOCK", "", ""},
	},
	{
		{broker + "REFUSED/msgs/*.blk", "", ""},
		{"ids/marker.manifest.*", "ids", "flipped cut"}, // it is empty: its name says it
		{"ids/*.log", "", ""},
	},
	{
		{broker + "REFUSED/msgs/index.db", "", ""},
		{"ledger.db", "ledger.db", "deleted"}, // which fsck calls a store that is behind
		{"ids/marker.format-version.*", "", ""},
		{"ids/OPTIONS-*", "", ""},
		{"ids/LOCK", "", ""},
	},
}

// loggedStreams are those that have logs.
var loggedStreams = []string{"USAGE-0-0", "CONTROL", "REGISTER", "LEDGER", "PAYOUT"}

// file finds the last file of a kind: of partial tiles the widest.
func (k kind) file(t *testing.T, dir, stream string) string {
	t.Helper()
	pattern := k.pattern
	if strings.Contains(pattern, "%s") {
		if !strings.HasPrefix(pattern, broker) {
			stream = strings.ToLower(stream)
		}
		pattern = fmt.Sprintf(pattern, stream)
	}
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return slices.MaxFunc(found, func(a, b string) int {
		x, _ := strconv.Atoi(filepath.Base(a))
		y, _ := strconv.Atoi(filepath.Base(b))
		if x == y {
			return strings.Compare(a, b)
		}
		return x - y
	})
}

// sound starts on a folder, and asserts that everything is as it was: the state
// root, every invariant, everything derived again, and usage that was sent before
// is known.
func sound(t *testing.T, dir string, was stated) {
	t.Helper()
	s := up(t, dir)
	defer s.kill()
	s.settled()
	var now stated
	s.ask("GET", "/v1/state", "", "", &now)
	if now.Root != was.Root {
		// A ledger that is settled again writes markers behind what there was: the
		// root at the positions before is compared.
		var then struct {
			Identical bool
			State     stated
		}
		s.ask("POST", fmt.Sprintf("/v1/replay?as_of=usage=%d", was.Partitions[0].Usage), "", "", &then)
		if !then.Identical || then.State.Root != was.Root {
			t.Errorf("the state root is %s, and was %s", then.State.Root, was.Root)
		}
	}
	var checked struct {
		OK     bool
		Checks []struct {
			Name, Detail string
			OK           bool
		}
	}
	s.ask("GET", "/v1/check", "", "", &checked)
	if !checked.OK || len(checked.Checks) == 0 {
		t.Errorf("check: %+v", checked)
	}
	var r replayed
	s.ask("POST", "/v1/replay", "", "", &r)
	if !r.Identical || r.Journal == 0 {
		t.Errorf("replay: %+v", r)
	}
	sources, _, _ := newSources(7)
	for _, source := range sources[3:5] { // by sequence and by id
		kind, body := source.encode(t, source.more(t, 200))
		status, answer, err := s.do(request{method: "POST", path: "/v1/events?wait=60", kind: kind, body: body})
		var a accepted
		if err == nil && status == http.StatusOK {
			err = json.Unmarshal(answer, &a)
		}
		if err != nil || a.Outcomes == nil || a.Outcomes.Duplicate != 200 {
			t.Errorf("sent again: %d %s %v", status, answer, err)
		}
	}
}

// stateOf is the state of a folder.
func stateOf(t *testing.T, dir string) stated {
	t.Helper()
	var now stated
	aliquot(t, "state", "--data", dir, "--json").ok(t).into(t, &now)
	return now
}

// "Damage to what can be derived is mended, not a dead end": every kind of file
// that a folder has, flipped, cut and deleted. fsck names it, --restore mends it
// and says what it did, a start works, and everything is as it was. Several kinds
// are damaged at once, each in another stream.
func TestEveryFileOfAFolderIsMended(t *testing.T) {
	t.Parallel()
	whole := aged(t)
	was := stateOf(t, whole)
	everyFileHasAKind(t, whole)
	for n, damage := range damages {
		for row, others := range otherKinds {
			t.Run(fmt.Sprintf("%s, %d", damage.name, row+1), func(t *testing.T) {
				t.Parallel()
				dir := copied(t, whole)
				var want []string
				for i, stream := range loggedStreams {
					// Two rows have every kind, four have it in two streams.
					k := streamKinds[(i+n+row*len(loggedStreams))%len(streamKinds)]
					damage.to(t, k.file(t, dir, stream))
					if k.named != "" {
						want = append(want, fmt.Sprintf(k.named, stream))
					}
				}
				for _, k := range others {
					damage.to(t, k.file(t, dir, ""))
					if k.named != "" && !strings.Contains(k.silent, damage.name) {
						want = append(want, k.named)
					}
				}
				mends(t, dir, was, want)
			})
		}
	}
}

// mends asserts that fsck names what was damaged, mends it and says so.
func mends(t *testing.T, dir string, was stated, want []string) {
	t.Helper()
	m, c := examine(t, dir)
	for _, name := range want {
		if !slices.Contains(m.all(), name) {
			t.Errorf("%s is not named: %s", name, c.out)
		}
	}
	named := m.all()
	m, c = examine(t, dir, "--restore", "--as", "auditor")
	if !m.OK {
		t.Fatalf("not mended: %s%s", c.out, c.err)
	}
	if len(named) > 0 && len(m.Restored) == 0 {
		t.Errorf("it does not say what it did: %s", c.out)
	}
	for _, r := range m.Restored {
		if r.Did == "" {
			t.Errorf("it does not say what it did: %+v", r)
		}
	}
	sound(t, dir, was)
}

// everyFileHasAKind fails for a file that the table does not know.
func everyFileHasAKind(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		known := name == "keys/log.key" // which nothing else has
		for _, stream := range append([]string{"REFUSED"}, loggedStreams...) {
			for _, k := range slices.Concat(append([][]kind{streamKinds}, otherKinds...)...) {
				pattern := k.pattern
				if strings.Contains(pattern, "%s") {
					if strings.HasPrefix(pattern, broker) {
						pattern = fmt.Sprintf(pattern, stream)
					} else {
						pattern = fmt.Sprintf(pattern, strings.ToLower(stream))
					}
				}
				ok, err := filepath.Match(pattern, name)
				if err != nil {
					return err
				}
				known = known || ok
			}
		}
		if !known {
			t.Errorf("%s is of no kind that is damaged here", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Losses and damages that are more than a file.
func TestLossesAreMended(t *testing.T) {
	t.Parallel()
	whole := aged(t)
	was := stateOf(t, whole)
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string
	}{
		{"everything but archive, tlog and keys", func(t *testing.T, dir string) {
			remove(t, dir, "streams")
			remove(t, dir, "ledger.db")
			remove(t, dir, "ids")
			remove(t, dir, "operator.token")
		}, []string{"CONTROL stream", "USAGE-0-0 stream"}},
		{"everything but archive and keys", func(t *testing.T, dir string) {
			for _, name := range []string{"streams", "ledger.db", "ids", "tlog"} {
				remove(t, dir, name)
			}
		}, []string{"CONTROL stream", "CONTROL log", "USAGE-0-0 log"}},
		{"all logs", func(t *testing.T, dir string) { remove(t, dir, "tlog") },
			[]string{"CONTROL log", "LEDGER log", "PAYOUT log", "REGISTER log", "USAGE-0-0 log"}},
		{"all logs, and the ledger", func(t *testing.T, dir string) {
			remove(t, dir, "tlog")
			remove(t, dir, "ledger.db")
		}, []string{"USAGE-0-0 log"}},
		{"the second copy of everything", func(t *testing.T, dir string) { remove(t, dir, "archive") },
			[]string{"CONTROL archive", "CONTROL log"}},
		{"the index of identities", func(t *testing.T, dir string) { remove(t, dir, "ids") }, []string{"ids"}},
		{"the folder of a stream", func(t *testing.T, dir string) { remove(t, dir, broker+"LEDGER") }, []string{"LEDGER stream"}},
		{"the cursor of settlement", func(t *testing.T, dir string) { change(t, dir, "DELETE FROM cursor") }, []string{"ledger.db"}},
		{"the cursor of distribution", func(t *testing.T, dir string) { change(t, dir, "DELETE FROM distribute_cursor") }, []string{"ledger.db"}},
		{"a cursor that was put back", func(t *testing.T, dir string) { change(t, dir, "UPDATE cursor SET position = 2") }, []string{"ledger.db"}},
		{"outcomes that were changed", func(t *testing.T, dir string) {
			change(t, dir, "UPDATE outcome SET runs = (SELECT runs FROM outcome ORDER BY position DESC LIMIT 1) WHERE position = (SELECT min(position) FROM outcome)")
		}, []string{"ledger.db"}},
		{"a log that was put back from a copy of yesterday", func(t *testing.T, dir string) {
			checkpoint := filepath.Join(dir, "tlog", "control", "checkpoint")
			remove(t, dir, "tlog/control")
			if err := os.MkdirAll(filepath.Dir(checkpoint), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(checkpoint, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"CONTROL log"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			test.damage(t, dir)
			mends(t, dir, was, test.want)
		})
	}
}

// After a rotation of the key the logs that it handed over are mended too.
func TestLogsAreMendedAfterARotation(t *testing.T) {
	t.Parallel()
	dir := aged(t)
	aliquot(t, "log", "keys", "rotate", "--as", "auditor", "--data", dir).ok(t)
	was := stateOf(t, dir)
	bit(t, dir, "tlog/control/checkpoint")
	remove(t, dir, "archive/control.checkpoint")
	remove(t, dir, "tlog/ledger")
	mends(t, dir, was, []string{"CONTROL log", "LEDGER log"})
}

// What no longer hashes to the signed root is not made right: the second copy is
// another installation's, whole and with checksums of its own, and nothing else is
// left.
func TestALogIsNotRebuiltOverAnotherHistory(t *testing.T) {
	t.Parallel()
	folder := func(units string) string {
		dir := t.TempDir()
		s := up(t, dir)
		_, nodes, customers := newSources(7)
		s.declare(declarations(nodes, customers))
		s.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,"+units+"\n", nil)
		s.stop()
		return dir
	}
	dir, other := folder("1"), folder("2")
	remove(t, dir, "tlog/register/tile")
	remove(t, dir, "archive/register")
	remove(t, dir, broker+"REGISTER")
	if err := os.CopyFS(filepath.Join(dir, "archive", "register"), os.DirFS(filepath.Join(other, "archive", "register"))); err != nil {
		t.Fatal(err)
	}
	m, c := examine(t, dir, "--restore", "--as", "auditor")
	if m.OK || !strings.Contains(c.err, "REGISTER") || !strings.Contains(c.err, "the leaves do not hash to the signed root") {
		t.Fatalf("exit %d: %s%s", c.code, c.out, c.err)
	}
	s, answers := launch(t, dir, nil)
	if url, ok := <-answers; ok {
		t.Fatalf("it answers on %s\n%s", url, s.log)
	}
}

// A key that is lost is said to be: nothing else has it, and everything else is
// mended beside it.
func TestALostKeyIsNamed(t *testing.T) {
	t.Parallel()
	dir := aged(t)
	was := stateOf(t, dir)
	key := filepath.Join(dir, "keys", "log.key")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, dir, "keys/log.key")
	remove(t, dir, broker+"LEDGER/meta.sum")
	m, c := examine(t, dir, "--restore", "--as", "auditor")
	if m.OK || !strings.Contains(c.err, "log.key") || !strings.Contains(c.err, "backup") {
		t.Fatalf("exit %d: %s%s", c.code, c.out, c.err)
	}
	if err := os.WriteFile(key, text, 0o600); err != nil {
		t.Fatal(err)
	}
	mends(t, dir, was, nil)
}

// A ledger that is derived again does not say how many partitions there were: the
// second copies do. Otherwise the usage of the others would stand still, without a
// word.
func TestPartitionsAreKnownWithoutTheLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := up(t, dir, "--partitions=2")
	nodes, customers := names("n", 2), names("c", 2)
	s.declare(declarations(nodes[:1], customers[:1]))
	s.declare(strings.NewReplacer(book, "acme-us", "calendar: day", "calendar: day\npartition: 1", "T1", "T2", "card: one", "card: two").
		Replace(declarations(nodes[1:], customers[1:])))
	for i, node := range nodes {
		d := &source{name: fmt.Sprint("/", node), node: node, customers: customers[i : i+1], sequenced: i == 0, random: rand.New(rand.NewPCG(7, uint64(i)))}
		kind, body := d.encode(t, d.more(t, 20))
		if a, err := s.send(kind, body); err != nil || a.Accepted != 20 || a.Handle[0].Partition != i {
			t.Fatalf("%+v %v", a, err)
		}
	}
	s.settled()
	before := s.balances()
	s.stop()
	for _, name := range []string{"streams", "ledger.db", "ids", "ids-1"} {
		remove(t, dir, name)
	}
	m, c := examine(t, dir, "--restore", "--as", "auditor")
	if !m.OK {
		t.Fatalf("exit %d: %s%s", c.code, c.out, c.err)
	}
	s = up(t, dir)
	s.settled()
	if now := s.balances(); !maps.Equal(now, before) || len(now) == 0 {
		t.Errorf("balances are %v, and were %v", now, before)
	}
	s.clean(true)
	s.stop()
}
