package posting

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// A scenario is a transcript: a line is a command, lines that begin with two
// spaces and > are what came of it. Commands are a word, a name and name=value
// pairs. What is decided takes effect at once, at a barrier of its own; "event"
// adds an event to the next batch, "send" adds one and sends the batch.
//
// Run with -update to write the answers anew, and read the difference.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScenario(t)
			got := s.play(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s has another outcome:\n%s", file, firstDifference(string(text), got))
			}
			s.check()
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, a, b)
		}
	}
	return ""
}

type scenario struct {
	t       *testing.T
	m       *memory
	s       *State
	out     bytes.Buffer
	builder packed.Builder
	pending []pendingEvent
	now     time.Time // when decisions are recorded
}

type pendingEvent struct {
	book     events.Book
	provider events.Provider
	received int64
	imports  bool // received at its own last instant, where the book allows it
	raw      packed.RawUsage
}

func newScenario(t *testing.T) *scenario {
	m := newMemory()
	return &scenario{t: t, m: m, s: New(0, m, m), now: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}
}

type arguments map[string]string

func (s *scenario) play(text string) string {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "  >") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		a := arguments{}
		for i, f := range fields[1:] {
			if name, value, ok := strings.Cut(f, "="); ok {
				a[name] = value
			} else {
				a[strconv.Itoa(i+1)] = f
			}
		}
		s.command(fields[0], a)
		s.counted()
	}
	return s.out.String()
}

// counted compares what waits, pair by pair, with the lines that were committed.
// Fails when a line is counted twice after a restart, or stays counted when it
// is released.
func (s *scenario) counted() {
	want := map[events.Pair]Waiting{}
	for _, l := range s.m.held {
		w := want[l.Pair]
		want[l.Pair] = Waiting{Pair: l.Pair, Lines: w.Lines + 1, Events: w.Events + l.Events}
	}
	for _, have := range s.s.Waiting() {
		if have.Lines != want[have.Pair].Lines || have.Events != want[have.Pair].Events {
			s.t.Errorf("counted as waiting: %+v, and not %+v, after\n%s", have, want[have.Pair], s.out.String())
		}
		delete(want, have.Pair)
	}
	if len(want) > 0 {
		s.t.Errorf("not counted as waiting: %v", want)
	}
}

func (s *scenario) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "  > "+format+"\n", args...)
}

func (s *scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\nafter\n%s", err, s.out.String())
	}
}

func (s *scenario) amount(text string) money.Amount {
	if text == "" {
		return money.Amount{}
	}
	v, err := money.ParseAmount(text)
	s.must(err)
	return v
}

func (s *scenario) quantity(text string) money.Quantity {
	if text == "" {
		return money.Quantity{}
	}
	v, err := money.ParseQuantity(text)
	s.must(err)
	return v
}

func (s *scenario) instant(text string) time.Time {
	v, err := time.Parse(time.RFC3339Nano, text)
	s.must(err)
	return v
}

func (s *scenario) number(text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	s.must(err)
	return n
}

// others are the arguments that are none of a command's own: attributes.
func others(a arguments, own ...string) map[string]string {
	rest := maps.Clone(map[string]string(a))
	maps.DeleteFunc(rest, func(k, _ string) bool { return slices.Contains(own, k) || k >= "0" && k <= "9" })
	return rest
}

func (s *scenario) command(word string, a arguments) {
	switch word {
	case "now":
		s.now = s.instant(a["1"])
	case "provider":
		s.decide(a, events.ProviderDeclared{Provider: events.Provider(a["1"])})
	case "book":
		calendar := "day"
		if a["calendar"] != "" {
			calendar = a["calendar"]
		}
		s.decide(a, events.BookDeclared{Book: events.Book(a["1"]), Provider: events.Provider(a["provider"]), Calendar: calendar, TimeZone: "UTC",
			Asset: money.Asset(a["asset"]), HorizonSeconds: int64(s.number(a["horizon"])), FutureSeconds: 300, ReceivedFromEvent: a["imports"] == "", Partition: s.number(a["partition"])})
	case "node":
		s.decide(a, events.NodeDeclared{Node: events.Node(a["1"]), Book: events.Book(a["book"]), Attributes: others(a, "book", "id", "on")})
	case "customer":
		s.decide(a, events.CustomerDeclared{Customer: events.Customer(a["1"]), Book: events.Book(a["book"]), Plan: a["plan"]})
	case "meter":
		s.decide(a, events.MeterDeclared{Meter: events.Meter(a["1"]), Book: events.Book(a["book"]), Unit: a["unit"], Max: s.quantity(a["max"])})
	case "card":
		name, version, _ := strings.Cut(a["1"], "@")
		s.decide(a, events.CardDeclared{Card: events.Card(name), Version: s.number(version), Book: events.Book(a["book"]), Currency: money.Asset(a["currency"]),
			Effective: s.instant(a["effective"]), Rules: []events.CardRule{{Meter: events.Meter(a["meter"]), Price: s.amount(a["price"]), Per: s.quantity(a["per"]),
				Granularity: s.quantity(a["granularity"]), Match: others(a, "book", "currency", "effective", "meter", "price", "per", "granularity", "id", "on")}}})
	case "policy":
		s.decide(a, events.QuotePolicyDeclared{Pair: events.Pair(a["1"]), HeartbeatSeconds: int64(s.number(a["heartbeat"])), MarginSeconds: int64(s.number(a["margin"])),
			Peg: s.amount(a["peg"]), PegHold: s.amount(a["hold"]), PegWarn: s.amount(a["warn"]), Fixed: s.amount(a["fixed"]), MinSources: 1})
	case "quote":
		s.decide(a, events.QuotesObserved{Pair: events.Pair(a["1"]), Source: a["source"], Rounds: []events.Round{{Round: a["round"], Time: s.instant(a["at"]), Rate: s.amount(a["rate"])}}})
	case "release":
		s.decide(a, events.SuspenseReleased{Pair: events.Pair(a["1"]), Book: events.Book(a["book"]), Source: a["source"], Round: a["round"], Reason: "agreed"})
	case "deposit":
		s.decide(a, events.DepositRecorded{Book: events.Book(a["book"]), Customer: events.Customer(a["1"]), Asset: money.Asset(a["asset"]), Amount: s.amount(a["amount"]), Reference: "wire"})
	case "collect":
		s.decide(a, events.CollectionRequested{Book: events.Book(a["book"]), Customer: events.Customer(a["1"])})
	case "token":
		var nodes []events.Node
		for _, n := range strings.Split(a["nodes"], ",") {
			nodes = append(nodes, events.Node(n))
		}
		s.decide(a, events.TokenDeclared{Token: events.Token(a["1"]), Book: events.Book(a["book"]), Nodes: nodes})
	case "close":
		s.decide(a, events.PeriodClosed{Book: events.Book(a["1"]), Period: events.Period(a["2"]), Early: a["early"] != "", Reason: a["early"]})
	case "reopen":
		s.decide(a, events.PeriodReopened{Book: events.Book(a["1"]), Period: events.Period(a["2"]), Reason: "mistaken"})
	case "withdraw":
		s.decide(a, events.RoundWithdrawn{Pair: events.Pair(a["1"]), Source: a["source"], Round: a["round"], Reason: "misread"})
	case "reverse":
		s.decide(a, events.DepositReversed{Book: events.Book(a["book"]), Customer: events.Customer(a["1"]), Asset: money.Asset(a["asset"]), Amount: s.amount(a["amount"]),
			Reference: "wire", Deposit: a["deposit"], Reason: "another's"})
	case "event":
		s.event(a)
	case "send":
		s.event(a)
		s.send()
	case "garbage":
		s.append([]byte{9, 9, 9})
	case "marker":
		s.append(events.AppendMessage(nil, &events.Message{Kind: events.Marker}))
	case "restart":
		var err error
		s.s, err = s.m.restart()
		s.must(err)
		// What was taken but not cut is taken again, as after a crash.
		for p := s.m.position + 1; p <= uint64(len(s.m.usage)); p++ {
			s.take(p)
		}
	case "show":
		s.show(a["1"])
	default:
		s.t.Fatalf("unknown command %q", word)
	}
}

func (s *scenario) decide(a arguments, body events.Body) {
	id := a["id"]
	if id == "" {
		id = fmt.Sprintf("d%d", len(s.m.control)+1)
	}
	at := s.now
	if a["on"] != "" { // recorded at another time
		at = s.instant(a["on"])
	}
	s.m.control = append(s.m.control, events.Decision{ID: id, Actor: "operator:alice", At: at, Body: body})
	s.append(events.AppendMessage(nil, &events.Message{Kind: events.Barrier, Control: uint64(len(s.m.control)), Rules: Rules}))
}

func (s *scenario) event(a arguments) {
	end := s.instant(a["end"]).UnixNano()
	start := end - int64(time.Minute)
	if a["start"] != "" {
		start = s.instant(a["start"]).UnixNano()
	}
	received := end
	if a["received"] != "" {
		received = s.instant(a["received"]).UnixNano()
	}
	quantity := s.quantity(a["quantity"])
	hi, lo := quantity.Limbs()
	node, provider, book := a["node"], a["provider"], a["book"]
	if provider == "" {
		provider = "acme"
	}
	if book == "" {
		book = "b"
	}
	raw := packed.RawUsage{
		Source: []byte(a["source"]), ID: []byte(a["id"]), Sequenced: a["id"] == "", Sequence: uint64(s.number(a["seq"])), Epoch: uint64(s.number(a["epoch"])),
		Node: []byte(node), Customer: []byte(a["customer"]), Meter: []byte(a["meter"]), QuantityHigh: uint64(hi), QuantityLow: lo, Scale: 18,
		Start: start, End: end, Retracts: []byte(a["retracts"]),
	}
	if len(raw.Source) == 0 {
		raw.Source = []byte("s")
	}
	for _, name := range slices.Sorted(maps.Keys(others(a, "start", "end", "received", "quantity", "node", "provider", "book", "source", "id", "seq", "epoch", "customer", "meter", "retracts", "count", "import"))) {
		raw.Attributes = append(raw.Attributes, packed.RawAttribute{Name: []byte(name), Value: []byte(a[name])})
	}
	for range max(1, s.number(a["count"])) {
		s.pending = append(s.pending, pendingEvent{events.Book(book), events.Provider(provider), received, a["import"] != "", raw})
		raw.Sequence++
	}
}

// send packs the pending events: a segment for each change of book, provider,
// receipt or kind of identity.
func (s *scenario) send() {
	var message events.Message
	message.Kind = events.Batch
	for i := 0; i < len(s.pending); {
		first := s.pending[i]
		s.builder.Reset(first.provider, first.raw.Sequenced)
		for ; i < len(s.pending); i++ {
			p := s.pending[i]
			if p.book != first.book || p.provider != first.provider || p.received != first.received || p.imports != first.imports || p.raw.Sequenced != first.raw.Sequenced {
				break
			}
			if !s.builder.Add(&p.raw) {
				s.t.Fatal("the event does not fit a segment")
			}
		}
		message.Segments = append(message.Segments, events.Segment{Book: first.book, Received: first.received, ReceivedFromEvent: first.imports, Packed: s.builder.AppendTo(nil)})
	}
	s.pending = nil
	s.append(events.AppendMessage(nil, &message))
}

func (s *scenario) append(data []byte) {
	s.m.usage = append(s.m.usage, data)
	s.take(uint64(len(s.m.usage)))
}

func (s *scenario) take(position uint64) {
	cut, err := s.m.take(s.s, position)
	s.must(err)
	if n := len(s.s.open.outcomes); n > 0 && s.s.open.outcomes[n-1].Position == position {
		s.outcome(&s.s.open.outcomes[n-1])
	}
	if cut == nil {
		return
	}
	for i := range cut.Outcomes {
		if cut.Outcomes[i].Position == position {
			s.outcome(&cut.Outcomes[i])
		}
	}
	s.must(s.m.commit(cut))
	s.s.Committed(cut.Position)
	for _, v := range cut.Voids {
		s.say("void: %s", v.Reason)
	}
	for i := range cut.Records {
		s.record(&cut.Records[i])
	}
}

func (s *scenario) outcome(o *settlement.Outcome) {
	names := map[events.Outcome]string{events.Accepted: "accepted", events.Late: "late", events.Duplicate: "duplicate", events.Refused: "refused"}
	var parts []string
	for _, r := range o.Runs {
		text := fmt.Sprintf("%d %s", r.Events, names[r.Outcome])
		if r.Reason != "" {
			text += " (" + string(r.Reason) + ")"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		parts = []string{"no events"}
	}
	s.say("%s", strings.Join(parts, ", "))
}

func (s *scenario) record(r *ledger.Record) {
	for _, e := range r.Entries {
		head := string(e.Kind) + " in " + string(e.Period)
		if e.Period == "" {
			head = string(e.Kind) + " before the first closing"
		}
		if e.Origin != e.Period {
			head += ", belongs to " + string(e.Origin)
		}
		s.say("%s", head)
		for _, p := range e.Postings {
			line := fmt.Sprintf("  debit %s, credit %s: %s %s", p.Debit, p.Credit, p.Amount, p.Asset)
			if p.Events > 0 {
				line += fmt.Sprintf(" for %s %s (%d events) by %s", p.Quantity, p.Meter, p.Events, p.Card)
			}
			if p.Quote != "" {
				line += " at " + p.Quote
			}
			s.say("%s", line)
		}
	}
	for _, p := range r.Settled {
		s.say("settled %s", p)
	}
}

func (s *scenario) show(what string) {
	switch what {
	case "waiting":
		for _, l := range slices.SortedFunc(maps.Values(s.m.held), func(a, b settlement.Suspense) int { return compareHeld(&a, &b) }) {
			s.say("%s %s %s: %s %s (%d events) of %s wait for %s", l.Book, l.Customer, l.Node, l.Quantity, l.Meter, l.Events, l.Period, l.Pair)
		}
	case "owed":
		var lines []string
		for _, o := range s.m.owed {
			lines = append(lines, fmt.Sprintf("%s owes %s %s for %s in %s", o.Customer, o.Amount, o.Asset, o.Node, o.Period))
		}
		slices.Sort(lines)
		for _, l := range lines {
			s.say("%s", l)
		}
	case "collected":
		var lines []string
		for _, c := range s.m.collected {
			lines = append(lines, fmt.Sprintf("%s %s: %s %s of %s", c.Book, c.Node, c.Amount, c.Asset, c.Period))
		}
		slices.Sort(lines)
		for _, l := range lines {
			s.say("%s", l)
		}
	case "balances":
		for at, b := range s.m.balances.All() {
			s.say("%s %s %s", at.Account, b.Net(), at.Asset)
		}
	case "tallies":
		for _, t := range slices.SortedFunc(maps.Keys(s.m.tallies), func(a, b settlement.Tally) int {
			return tallyKey{a.Book, a.Node, a.Period, a.Outcome, a.Reason}.compare(tallyKey{b.Book, b.Node, b.Period, b.Outcome, b.Reason})
		}) {
			names := []string{"", "accepted", "late", "duplicate", "refused"}
			s.say("%s", strings.TrimRight(fmt.Sprintf("%s %s %s: %d %s %s", t.Book, t.Node, t.Period, s.m.tallies[t], names[t.Outcome], t.Reason), " "))
		}
	}
}

// check holds every transcript to what must always be true.
func (s *scenario) check() {
	s.t.Helper()
	s.must(s.m.balances.CheckBalanced())
	// Accounted for: every event that was committed has one outcome.
	total := uint64(0)
	for _, n := range s.m.tallies {
		total += n
	}
	if total != s.m.events {
		s.t.Errorf("%d events are tallied, %d were settled", total, s.m.events)
	}
	// What is owed is what the receivables say, and what is earned.
	var owed, receivable, earned, kept, collected money.Amount
	for _, c := range s.m.collected {
		kept = s.sum(kept, c.Amount)
	}
	for _, o := range s.m.owed {
		owed = s.sum(owed, o.Amount)
	}
	for at, b := range s.m.balances.All() {
		switch _, _, part := at.Account.Split(); part {
		case "receivable":
			receivable = s.sum(receivable, b.Debit)
			receivable = s.less(receivable, b.Credit)
		case "earned":
			earned = s.sum(earned, b.Credit)
			earned = s.less(earned, b.Debit)
		case "collected":
			collected = s.sum(collected, b.Credit)
			collected = s.less(collected, b.Debit)
		}
	}
	if owed != receivable || owed != earned {
		s.t.Errorf("owed %s, receivable %s, earned %s", owed, receivable, earned)
	}
	if kept != collected {
		s.t.Errorf("kept as collected %s, balances %s", kept, collected)
	}
	// Replay from zero gives the same bytes.
	again := newMemory()
	again.usage, again.control = s.m.usage, s.m.control
	state := New(0, again, again)
	for p := uint64(1); p <= s.m.position; p++ {
		cut, err := again.take(state, p)
		s.must(err)
		if cut != nil {
			s.must(again.commit(cut))
			state.Committed(cut.Position)
		}
	}
	if len(again.records) != len(s.m.records) {
		s.t.Fatalf("replay gives %d records, live gave %d", len(again.records), len(s.m.records))
	}
	for i := range again.records {
		if !bytes.Equal(again.records[i], s.m.records[i]) {
			s.t.Errorf("replay gives another record %d", i)
		}
	}
}

func (s *scenario) sum(a, b money.Amount) money.Amount {
	v, err := a.Add(b)
	s.must(err)
	return v
}

func (s *scenario) less(a, b money.Amount) money.Amount {
	v, err := a.Sub(b)
	s.must(err)
	return v
}
