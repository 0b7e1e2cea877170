package acceptance

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// way is how one run sends its input.
type way struct {
	batch   int  // events in a batch, at most
	packed  bool // or CloudEvents
	senders bool // one a source, side by side; or one source after the other
	kill    bool // between batches, and stop between phases
	again   bool // every batch twice
}

// days of usage whose first day closes before the last third comes: that third
// has late events.
const (
	eventsOfSource = 3000
	phases         = 3
)

// runTo sends the same input in one way and returns the journal's hash.
func runTo(t *testing.T, dir string, seed uint64, w way) replayed {
	t.Helper()
	s := up(t, dir)
	sources, nodes, customers := newSources(seed)
	s.declare(declarations(nodes, customers))
	s.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\nc,4\n", nil)
	random := rand.New(rand.NewPCG(seed, 5000+uint64(w.batch)))
	for phase := range phases {
		var all [][]events.Usage
		for _, source := range sources {
			source.packed = w.packed
			all = append(all, source.more(t, eventsOfSource/phases))
		}
		sizes := make([][]int, len(all))
		for i := range all {
			for n := 0; n < len(all[i]); {
				size := min(1+random.IntN(w.batch), len(all[i])-n)
				sizes[i] = append(sizes[i], size)
				n += size
			}
		}
		one := func(i int) {
			n := 0
			for j, size := range sizes[i] {
				kind, body := sources[i].encode(t, all[i][n:n+size])
				for range map[bool]int{false: 1, true: 2}[w.again] {
					if a, err := s.send(kind, body); err != nil || a.Accepted != size {
						t.Errorf("%+v %v", a, err)
						return
					}
				}
				n += size
				if w.kill && j == len(sizes[i])/2 {
					s.kill()
					s = up(t, dir)
				}
			}
		}
		var running sync.WaitGroup
		for i := range sources {
			if w.senders {
				running.Go(func() { one(i) })
			} else {
				one(i)
			}
		}
		running.Wait()
		s.settled()
		s.ask("POST", "/v1/deposits", "application/json",
			fmt.Sprintf(`{"book":%q,"customer":"c0","asset":"USDC","amount":"1234.56","reference":"p%d"}`, book, phase), nil)
		s.ask("POST", "/v1/periods/close", "application/json", fmt.Sprintf(`{"book":%q,"period":%q}`, book, period(phase)), nil)
		if w.kill {
			s.stop()
			s = up(t, dir)
		}
	}
	distribute(t, s)
	s.clean(false)
	var r replayed
	aliquot(t, "replay", "--data", dir, "--json").ok(t).into(t, &r)
	s.stop()
	return r
}

// replayed is what replay found.
type replayed struct {
	Identical   bool
	JournalHash string `json:"journal_hash"`
	Journal     int    `json:"journal_rows"`
	Usage       int    `json:"usage_position"`
	Difference  *struct{ Where, Live, Replayed string }
}

// "Two runs from the same input, with different timing, batch sizes and
// restarts in between, give the same journal_hash. Replay of one run's streams
// gives byte-identical entries."
//
// Fails when an entry depends on where it was cut, on the clock or on what else
// is under way, and when a restart forgets or repeats anything.
func TestTheSameInputGivesTheSameJournalHash(t *testing.T) {
	t.Parallel()
	n := seed(t)
	want := runTo(t, t.TempDir(), n, way{batch: 1000})
	if !want.Identical || want.Journal == 0 {
		t.Fatalf("replay: %+v", want)
	}
	for name, w := range map[string]way{
		"small batches side by side, each twice": {batch: 120, senders: true, again: true},
		"packed, with kills and stops":           {batch: 700, packed: true, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := runTo(t, t.TempDir(), n, w)
			if !got.Identical {
				t.Errorf("replay: %+v", got)
			}
			if got.JournalHash != want.JournalHash {
				t.Errorf("journal_hash %s, want %s", got.JournalHash, want.JournalHash)
			}
			if got.Usage == want.Usage {
				t.Errorf("both runs have %d messages: they were not different", got.Usage)
			}
		})
	}
	other := runTo(t, t.TempDir(), n+1, way{batch: 1000})
	if other.JournalHash == want.JournalHash {
		t.Error("other input has the same journal_hash")
	}
}
