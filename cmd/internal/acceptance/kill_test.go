package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// batch is what was sent at once.
type batch struct {
	kind   string
	body   []byte
	events []events.Usage
}

// sender sends the usage of one source and remembers every answer.
type sender struct {
	source *source

	count   int      // events acknowledged, each once
	sum     total    // of their quantities
	recent  []batch  // the last ones acknowledged, to be repeated
	handles []handle // of this life's answers
	doubt   *batch   // sent without an answer; it is sent again
	resent  int      // events of acknowledged repeats
	unclear int      // events sent without an answer
	stored  int      // batches in doubt that turned out to be stored
	lost    int      // and those that did not
}

// keptBatches is how many batches a sender keeps to repeat them.
const keptBatches = 100

// run sends until the process is gone or the test has killed it.
func (d *sender) run(t testing.TB, s *server, stopped *atomic.Bool) error {
	d.handles = nil
	for !stopped.Load() {
		if gone, err := d.send(t, s); gone || err != nil {
			return err
		}
	}
	return nil
}

// send sends what is in doubt, or one batch in eight again on purpose, or the
// next one. gone means that no answer came.
func (d *sender) send(t testing.TB, s *server) (gone bool, err error) {
	again := false
	var b batch
	switch {
	case d.doubt != nil:
		b = *d.doubt
	case len(d.recent) > 0 && d.source.random.IntN(8) == 0:
		b, again = d.recent[d.source.random.IntN(len(d.recent))], true
	default:
		b.events = d.source.more(t, 1+d.source.random.IntN(150))
		b.kind, b.body = d.source.encode(t, b.events)
		d.doubt = &b
	}
	a, err := s.send(b.kind, b.body)
	switch {
	case errors.Is(err, errNotAccepted):
		return false, err
	case err != nil:
		d.unclear += len(b.events) // Stored, its repeat is a duplicate.
		return true, nil
	case a.Accepted != len(b.events) || a.Refused != 0:
		return false, fmt.Errorf("%d of %d events accepted: %+v", a.Accepted, len(b.events), a.Refusals)
	}
	d.handles = append(d.handles, a.Handle...)
	if again {
		d.resent += len(b.events)
		return false, nil
	}
	d.doubt = nil
	d.count += len(b.events)
	d.sum.addAll(b.events)
	if d.recent = append(d.recent, b); len(d.recent) > keptBatches {
		d.recent = d.recent[1:]
	}
	return false, nil
}

// expect compares what is settled of the source with what was answered. A batch
// without an answer is there whole, or not at all.
func (d *sender) expect(t testing.TB, counted map[string]int, found map[string]balance) {
	t.Helper()
	settled, earned := counted[d.source.node], found["node:"+d.source.node+":earned"].Credit
	if settled == d.count && d.sum.is(earned) {
		if d.doubt != nil {
			d.lost++
		}
		return
	}
	if d.doubt == nil {
		t.Fatalf("source %s: %d events and %s settled, %d and %s acknowledged", d.source.name, settled, earned, d.count, &d.sum)
	}
	d.stored++
	with := new(total)
	with.Add(&d.sum.Rat, &with.Rat)
	with.addAll(d.doubt.events)
	if settled != d.count+len(d.doubt.events) || !with.is(earned) {
		t.Fatalf("source %s: %d events and %s settled; acknowledged are %d and %s, with the batch in doubt %d and %s",
			d.source.name, settled, earned, d.count, &d.sum, d.count+len(d.doubt.events), with)
	}
}

// payer records deposits under load: decisions must survive a kill as usage does.
type payer struct {
	random *rand.Rand
	next   int
	doubt  string
	paid   int // whole USDC of acknowledged deposits
}

func (p *payer) run(s *server, stopped *atomic.Bool) error {
	for !stopped.Load() {
		if p.doubt == "" {
			p.next++
			p.doubt = fmt.Sprintf(`{"book":%q,"customer":"c%d","asset":"USDC","amount":"1","reference":"r%d"}`, book, p.random.IntN(3), p.next)
		}
		status, answer, err := s.do(request{method: "POST", path: "/v1/deposits", kind: "application/json", body: []byte(p.doubt)})
		if err != nil {
			return nil
		}
		if status != http.StatusOK {
			return fmt.Errorf("deposit: %d %s", status, answer)
		}
		p.paid++
		p.doubt = ""
		time.Sleep(time.Duration(p.random.IntN(40)) * time.Millisecond)
	}
	return nil
}

// kills says how often to kill: a few in the test command, more in task chaos.
func kills(t testing.TB) int {
	said := os.Getenv("ALIQUOT_KILLS")
	if said == "" {
		if testing.Short() {
			return 3
		}
		return 20
	}
	n, err := strconv.Atoi(said)
	if err != nil || n < 1 {
		t.Fatalf("ALIQUOT_KILLS=%q is not a number of kills", said)
	}
	return n
}

// seed is printed, so that a failure's choices can be made again; the moments
// at which the process is hit remain the machine's.
func seed(t testing.TB) uint64 {
	n := uint64(time.Now().UnixNano())
	if said := os.Getenv("ALIQUOT_SEED"); said != "" {
		var err error
		if n, err = strconv.ParseUint(said, 10, 64); err != nil {
			t.Fatalf("ALIQUOT_SEED=%q is not a seed", said)
		}
	}
	t.Logf("ALIQUOT_SEED=%d", n)
	return n
}

// "kill -9 of aliquot up at random moments under load: after each restart, no
// accepted event lost, none counted twice, check and replay clean."
//
// Fails when ingest answers before the stream has the message and the process
// dies between, when the settler commits entries and cursor apart, when the set
// of accepted sequences or ids is not what the cursor says, and when a deposit
// is recorded twice.
func TestKillLosesNothingAndCountsNothingTwice(t *testing.T) {
	t.Parallel()
	kills, n := kills(t), seed(t)
	random := rand.New(rand.NewPCG(n, 1000))
	sources, nodes, customers := newSources(n)
	senders := make([]*sender, len(sources))
	for i := range sources {
		senders[i] = &sender{source: sources[i]}
	}
	money := &payer{random: rand.New(rand.NewPCG(n, 2000))}
	dir := t.TempDir()
	s := up(t, dir)
	s.declare(declarations(nodes, customers))
	s.ask("POST", "/v1/registers/T1/import?file=r.csv", "text/csv", "holder,units\na,1\nb,2\nc,4\n", nil)

	closed := -1
	for kill := 1; kill <= kills; kill++ {
		underLoad(t, s, senders, money, func() {
			if kill%4 == 0 && closed < days-2 {
				// Closed in the middle of the load: what comes later for this day is late.
				closed++
				_, _, _ = s.do(request{method: "POST", path: "/v1/periods/close", kind: "application/json",
					body: fmt.Appendf(nil, `{"book":%q,"period":%q}`, book, period(closed))})
			}
			time.Sleep(time.Duration(50+random.IntN(600)) * time.Millisecond) // any moment
			s.kill()
		})
		for random.IntN(4) == 0 { // Recovery is hit as well.
			s, _ = launch(t, dir, nil)
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
			s.kill()
		}
		s = up(t, dir)
		s.settled()
		compare(t, s, senders, money)
		s.clean(kill%5 == 0)
		if t.Failed() {
			t.Fatalf("after kill %d of %d", kill, kills)
		}
	}

	for _, d := range senders { // What is in doubt is sent again; then all is known.
		for d.doubt != nil {
			if gone, err := d.send(t, s); gone || err != nil {
				t.Fatalf("sending again: no answer %t, %v\n%s", gone, err, s.log)
			}
		}
	}
	if money.doubt != "" {
		s.ask("POST", "/v1/deposits", "application/json", money.doubt, nil)
		money.paid, money.doubt = money.paid+1, ""
	}
	s.settled()
	counted := compare(t, s, senders, money)
	repeats, most, stored, lost := 0, 0, 0, 0
	for _, d := range senders {
		stored, lost = stored+d.stored, lost+d.lost
		repeats += d.resent
		most += d.resent + d.unclear
	}
	if counted["duplicate"] < repeats || counted["duplicate"] > most {
		t.Errorf("%d duplicates, of %d to %d events sent again", counted["duplicate"], repeats, most)
	}
	distribute(t, s)
	s.clean(true)
	s.stop()
	t.Logf("%d kills, %d events, %d duplicates, %d late, %d deposits; of the batches without an answer %d were stored, %d not",
		kills, counted["settled"], counted["duplicate"], counted["late"], money.paid, stored, lost)
}

// underLoad lets every sender send until end has ended the process.
func underLoad(t testing.TB, s *server, senders []*sender, money *payer, end func()) {
	t.Helper()
	var running sync.WaitGroup
	var stopped atomic.Bool
	failed := make(chan error, len(senders)+1)
	for _, d := range senders {
		running.Go(func() { failed <- d.run(t, s, &stopped) })
	}
	running.Go(func() { failed <- money.run(s, &stopped) })
	end()
	stopped.Store(true)
	running.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Errorf("%v\n%s", err, s.log)
		}
	}
}

// compare asserts that what is settled is what was answered, and counts it.
func compare(t testing.TB, s *server, senders []*sender, money *payer) map[string]int {
	t.Helper()
	counted := map[string]int{}
	for _, row := range s.tallies() {
		switch row.Outcome {
		case 1, 2:
			counted[row.Node] += row.Events
			counted["settled"] += row.Events
			if row.Outcome == 2 {
				counted["late"] += row.Events
			}
		case 3:
			counted["duplicate"] += row.Events
		default:
			t.Errorf("refused in settlement: %+v", row)
		}
	}
	found := s.balances()
	for _, d := range senders {
		d.expect(t, counted, found)
		for _, h := range d.handles {
			var o outcomes
			status, answer, err := s.do(request{method: "GET", path: fmt.Sprintf(
				"/v1/usage/outcomes?partition=%d&position=%d&first=%d&count=%d", h.Partition, h.Position, h.First, h.Count)})
			if err != nil || status != http.StatusOK || json.Unmarshal(answer, &o) != nil {
				t.Fatalf("handle %+v: %d %s %v", h, status, answer, err)
			}
			if !o.Settled || o.Accepted+o.Late+o.Duplicate != h.Count {
				t.Fatalf("handle %+v was acknowledged and is %s", h, answer)
			}
		}
	}
	paid := new(total)
	paid.addText(strconv.Itoa(money.paid))
	if got := found["treasury:USDC"].Debit; !paid.is(got) {
		paid.addText("1")
		if money.doubt == "" || !paid.is(got) {
			t.Errorf("treasury has %s, %d deposits of 1 were acknowledged", got, money.paid)
		}
	}
	return counted
}

// distribute pays the whole book out and confirms it.
func distribute(t testing.TB, s *server) {
	t.Helper()
	s.ask("POST", "/v1/deposits/outstanding", "application/json", fmt.Sprintf(`{"book":%q,"reference":"all"}`, book), nil)
	s.ask("POST", "/v1/periods/close", "application/json", fmt.Sprintf(`{"book":%q,"period":%q}`, book, period(days-1)), nil)
	var made struct{ Revenue, Fee, Pool string }
	s.ask("POST", "/v1/distributions", "application/json", fmt.Sprintf(`{"token":"T1","period":%q}`, period(days-1)), &made)
	revenue, parts := new(total), new(total)
	revenue.addText(made.Revenue)
	parts.addText(made.Fee)
	parts.addText(made.Pool)
	if revenue.Sign() <= 0 || revenue.Cmp(&parts.Rat) != 0 {
		t.Errorf("revenue %s is not fee %s and pool %s", made.Revenue, made.Fee, made.Pool)
	}
	earned := new(total)
	for name, b := range s.balances() {
		if nodeEarned(name) {
			earned.addText(b.Credit)
		}
	}
	if earned.Cmp(&revenue.Rat) != 0 {
		t.Errorf("revenue %s, nodes earned %s", made.Revenue, earned)
	}
}
