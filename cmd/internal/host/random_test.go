package host

import (
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
	"github.com/aliquot-engine/aliquot/internal/store/postgrestest"
)

// player plays the steps of a story on a real process, and restarts it at
// random times of its own.
type player struct {
	person
	dir      string
	random   *rand.Rand
	together bool // the usage of each step is one request, and nothing is interrupted
	old      string

	server *postgrestest.Server // if the ledger is not in the folder
	url    string
}

func (p *player) start() {
	p.t.Helper()
	d, err := Open(p.t.Context(), Config{Dir: p.dir, DatabaseURL: p.url, Listen: "127.0.0.1:0"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.d = d
}

// restart stops the process and starts it again: with the folder as it is,
// without the index of identities, without the database, or with the database
// from an earlier stop.
func (p *player) restart() {
	p.t.Helper()
	if err := p.d.Close(); err != nil {
		p.t.Fatal(err)
	}
	if p.server != nil {
		p.otherDatabase()
		p.start()
		return
	}
	database, _ := filepath.Glob(filepath.Join(p.dir, "ledger.db*"))
	switch p.random.IntN(6) {
	case 0:
		if err := os.RemoveAll(filepath.Join(p.dir, "ids")); err != nil {
			p.t.Fatal(err)
		}
	case 1:
		for _, file := range database {
			if err := os.Remove(file); err != nil {
				p.t.Fatal(err)
			}
		}
	case 2:
		if p.old != "" {
			for _, file := range database {
				_ = os.Remove(file)
			}
			copyDir(p.t, p.old, p.dir)
		}
	case 3:
		p.old = p.t.TempDir()
		for _, file := range database {
			copyFile(p.t, file, filepath.Join(p.old, filepath.Base(file)))
		}
	}
	p.start()
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			copyFile(t, path, filepath.Join(to, filepath.Base(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func (p *player) play(steps []step) {
	for i, s := range steps {
		if !p.together && p.random.IntN(25) == 0 {
			p.restart()
		}
		if len(s.usage) > 0 {
			p.send(s.usage, s.unknown)
		} else {
			p.ask(s.method, s.path, s.kind, s.body, s.want)
		}
		if s.after != nil {
			p.compare(fmt.Sprintf("after step %d, %s", i, s.path), s.after)
		}
	}
}

// send sends usage, as one request or in pieces. Usage with something unknown
// is refused immediately, together with everything else in its request.
func (p *player) send(list []usage, unknown string) {
	for len(list) > 0 {
		n := len(list)
		if !p.together {
			n = 1 + p.random.IntN(n)
		}
		texts := make([]string, n)
		want := 422
		for i := range texts {
			texts[i] = list[i].json()
			if list[i].node != unknown {
				want = 202
			}
		}
		p.ask("POST", "/v1/events", "application/cloudevents-batch+json", "["+strings.Join(texts, ",")+"]", want)
		list = list[n:]
	}
}

// attos reads a decimal.
func attos(t *testing.T, text string) string {
	t.Helper()
	r, ok := new(big.Rat).SetString(text)
	if r = r.Mul(r, new(big.Rat).SetInt(atto)); !ok || !r.IsInt() {
		t.Fatalf("amount %q", text)
	}
	return r.Num().String()
}

func (p *player) compare(when string, want *expected) {
	p.t.Helper()
	p.ask("POST", "/v1/settled", "", "", 200)
	got := map[string]string{}
	for _, row := range p.list("/v1/balances") {
		if net := attos(p.t, row["net"].(string)); net != "0" {
			got[row["account"].(string)+"|"+row["asset"].(string)] = net
		}
	}
	same(p.t, when+": balance", got, want.balances)
	waiting := map[string]string{}
	for _, row := range p.list("/v1/suspense") {
		model := ""
		if row["card"] == "main@1" && row["meter"] == "gpu" && row["rule"].(float64) == 1 {
			model = "h100"
		}
		at := strings.Join([]string{row["book"].(string), row["node"].(string), row["customer"].(string), row["meter"].(string),
			row["card"].(string), row["period"].(string), model}, "|")
		waiting[at] = fmt.Sprint(attos(p.t, row["quantity"].(string)), " ", row["events"])
	}
	same(p.t, when+": waiting", waiting, want.waiting)
	sum := p.ask("GET", "/v1/summary", "", "", 200)
	for outcome, n := range want.outcomes {
		if sum[outcome].(float64) != float64(n) {
			p.t.Fatalf("%s: %v %s, the model has %d", when, sum[outcome], outcome, n)
		}
	}
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	var wrong []string
	for at, w := range want {
		if got[at] != w {
			wrong = append(wrong, fmt.Sprintf("%s %s: %q, the model has %q", what, at, got[at], w))
		}
	}
	for at, g := range got {
		if _, ok := want[at]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s %s: %q, the model has none", what, at, g))
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		t.Fatal(strings.Join(wrong, "\n"))
	}
}

// otherDatabase is what restart does if the ledger is not in the folder.
func (p *player) otherDatabase() {
	p.t.Helper()
	switch p.random.IntN(4) {
	case 0:
		p.url = emptyStore(p.t, p.server)
	case 1:
		if p.old != "" {
			p.url = p.server.Copy(p.t, p.old)
		}
	case 2:
		if !p.server.Foreign() {
			p.old = p.server.Copy(p.t, p.url)
		}
	}
}

func emptyStore(t *testing.T, server *postgrestest.Server) string {
	t.Helper()
	url := server.Database(t)
	if _, err := cockroach.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// TestARandomStoryInPostgreSQLIsTheSame plays one story twice: in pieces with
// the ledger in PostgreSQL, whose database is sometimes lost or restored to an
// earlier one between runs, and in one go with SQLite. The hashes are equal,
// and the balances equal the model's at every step.
func TestARandomStoryInPostgreSQLIsTheSame(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	steps := tell(7, 120)
	inFile := &player{person: person{t: t}, dir: t.TempDir(), random: rand.New(rand.NewPCG(7, 3)), together: true}
	inDatabase := &player{person: person{t: t}, dir: t.TempDir(), random: rand.New(rand.NewPCG(7, 3)), server: server, url: emptyStore(t, server)}
	var hashes []string
	for _, p := range []*player{inFile, inDatabase} {
		p.start()
		p.play(steps)
		hashes = append(hashes, p.finish())
		if err := p.d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if hashes[0] != hashes[1] {
		t.Fatalf("journal hash %s in SQLite, %s in PostgreSQL", hashes[0], hashes[1])
	}
}

// Without a database of this installation nothing starts, and one line says
// why.
func TestADatabaseThatIsNotReadyIsRefused(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	d, err := Open(t.Context(), Config{Dir: t.TempDir(), DatabaseURL: server.Database(t), Listen: "127.0.0.1:0"})
	if err == nil {
		_ = d.Close()
		t.Fatal("it started on an empty database")
	}
	if text := err.Error(); !strings.HasSuffix(text, "it is empty: run aliquot migrate") || strings.Contains(text, "\n") {
		t.Errorf("it says %q", text)
	}
}

// finish checks and replays the ledger of the story, and returns its hash.
func (p *player) finish() string {
	p.t.Helper()
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		p.t.Fatalf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		p.t.Fatalf("replay: %v", got)
	}
	return p.ask("GET", "/v1/summary", "", "", 200)["journal_hash"].(string)
}

// TestRandomStoriesAgreeWithTheModel plays random days, whole and in pieces,
// and compares every balance with the model's at every step. ALIQUOT_SEEDS sets
// how many are played.
func TestRandomStoriesAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	seeds := 3
	if text := os.Getenv("ALIQUOT_SEEDS"); text != "" {
		if _, err := fmt.Sscan(text, &seeds); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			steps := tell(seed, 250)
			var hashes [2]string
			t.Run("played", func(t *testing.T) {
				for i, name := range []string{"in one go", "in pieces"} {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						p := &player{person: person{t: t}, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 3)), together: i == 0}
						p.start()
						p.play(steps)
						hashes[i] = p.finish()
						if err := p.d.Close(); err != nil {
							t.Fatal(err)
						}
					})
				}
			})
			if hashes[0] != hashes[1] {
				t.Fatalf("journal hash %s in one go, %s in pieces", hashes[0], hashes[1])
			}
		})
	}
}

func (p *player) list(path string) []map[string]any {
	p.t.Helper()
	var rows []map[string]any
	p.into("GET", path, "", "", 200, &rows)
	return rows
}
