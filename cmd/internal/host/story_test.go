package host

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is one action of a person, and the result that the model expects.
type step struct {
	usage   []usage
	unknown string // a node that is not declared yet; or this is a request:

	method, path, kind, body string
	want                     int

	after *expected // compared after the step
}

// expected is the state of the model at some point.
type expected struct {
	balances map[string]string // except those that are zero
	outcomes map[string]int
	waiting  map[string]string
}

// story makes up steps, and plays each in the model.
type story struct {
	*model
	random *rand.Rand
	steps  []step
	count  int // of names that were made up
	rates  map[string]time.Time
	days   []string
}

const storyYAML = `
kind: Provider
provider: acme
---
kind: Book
book: b1
provider: acme
calendar: day
asset: USDC
horizon: none
---
kind: Book
book: b2
provider: acme
calendar: day
asset: DAI
horizon: none
---
kind: QuotePolicy
pair: USDC/USD
heartbeat: 6h
margin: 1h
peg: 1
peg_warn: 0.5%
peg_hold: 2%
max_deviation: 1%
---
{kind: Meter, meter: gpu, book: b1, unit: s}
---
{kind: Meter, meter: tokens, book: b1, unit: token}
---
{kind: Meter, meter: free, book: b1, unit: x}
---
{kind: Meter, meter: later, book: b1, unit: x}
---
{kind: Meter, meter: other, book: b2, unit: x}
---
kind: Card
card: main
version: 1
book: b1
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - {meter: gpu, price: 1.99, per: 3600, granularity: 60}
  - {meter: gpu, price: 3.77, per: 3600, match: {model: h100}}
  - {meter: tokens, price: 0.0000025, per: 7}
  - {meter: free, price: 0}
---
kind: Card
card: other
version: 1
book: b2
currency: DAI
effective: 2020-01-01T00:00:00Z
rules:
  - {meter: other, price: 0.333333333333333333, per: 1000}
---
{kind: Nodes, book: b1, nodes: [n1, n2, n3, n4]}
---
{kind: Node, node: n5, book: b1, attributes: {model: h100}}
---
{kind: Nodes, book: b2, nodes: [n6, n7]}
---
{kind: Customers, book: b1, customers: [c1, c2, c3]}
---
{kind: Customers, book: b2, customers: [c4, c5]}
---
{kind: Token, token: T1, book: b1, nodes: [n1, n2]}
---
{kind: Token, token: T2, book: b1, all_nodes: true, minimum_payout: 3.5}
---
{kind: Waterfall, token: T1, fee: 2.5%}
---
{kind: Waterfall, token: T2, fee: 3.33%}
`

const secondYAML = `
kind: Card
card: main
version: 2
book: b1
currency: USD
effective: 2026-03-03T12:00:00Z
rules:
  - {meter: gpu, price: 2.49, per: 3600}
  - {meter: tokens, price: 0.000007, per: 3}
  - {meter: free, price: 0}
`

const laterYAML = `
kind: Card
card: later
version: 1
book: b1
currency: USD
effective: 2020-01-01T00:00:00Z
rules:
  - {meter: later, price: 11, per: 13}
`

var begins = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// tell makes up a story with a number of steps.
func tell(seed uint64, length int) []step {
	s := &story{model: newModel(), random: rand.New(rand.NewPCG(seed, 2)), rates: map[string]time.Time{}}
	since := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	s.asset["b1"], s.asset["b2"] = "USDC", "DAI"
	for name, book := range map[string]string{"n1": "b1", "n2": "b1", "n3": "b1", "n4": "b1", "n5": "b1", "n6": "b2", "n7": "b2",
		"c1": "b1", "c2": "b1", "c3": "b1", "c4": "b2", "c5": "b2"} {
		s.book[name] = book
		if name[0] == 'n' {
			s.nodes[name] = ""
		}
	}
	s.nodes["n5"] = "h100"
	s.tokenOf = map[string]string{"n1": "T1", "n2": "T1", "n3": "T2", "n4": "T2", "n5": "T2"}
	s.fee["T1"], s.fee["T2"] = 250, 333
	s.minimum["T1"], s.minimum["T2"] = new(big.Int), new(big.Int).Div(new(big.Int).Mul(atto, big.NewInt(7)), big.NewInt(2))
	s.rules["gpu"] = []rule{{"main@1", "", "1.99", "3600", 60_000, "USD", since}, {"main@1", "h100", "3.77", "3600", 0, "USD", since}}
	s.rules["tokens"] = []rule{{"main@1", "", "0.0000025", "7", 0, "USD", since}}
	s.rules["free"] = []rule{{"main@1", "", "0", "1", 0, "USD", since}}
	s.rules["other"] = []rule{{"other@1", "", "0.333333333333333333", "1000", 0, "DAI", since}}
	s.apply(storyYAML)
	s.observe()
	actions := []func(){
		s.send, s.send, s.send, s.send, s.send, s.observe, s.observe, s.deposit, s.deposit, s.collectSome, s.closeDay, s.distributeSome,
		s.distributeSome, s.export, s.export, s.confirm, s.confirm, s.correct, s.payOwed, s.hold, s.issue, s.moveNode, s.changeFee, s.releaseAll, s.releaseNothing,
		s.declareLate, s.nothing,
	}
	for len(s.steps) < length {
		actions[s.random.IntN(len(actions))]()
	}
	s.steps[len(s.steps)-1].after = s.now()
	return s.steps
}

func (s *story) pick(names ...string) string { return names[s.random.IntN(len(names))] }

func (s *story) name(prefix string) string {
	s.count++
	return fmt.Sprintf("%s%d", prefix, s.count)
}

func (s *story) ask(method, path, kind, body string, want int) {
	done := step{method: method, path: path, kind: kind, body: body, want: want}
	if s.random.IntN(8) == 0 {
		done.after = s.now()
	}
	s.steps = append(s.steps, done)
}

func (s *story) apply(yaml string) {
	s.ask("POST", "/v1/apply?file=story.yaml", "application/yaml", yaml, 200)
}

func (s *story) json(path, format string, args ...any) {
	s.want(200, path, format, args...)
}

func (s *story) want(status int, path, format string, args ...any) {
	s.ask("POST", path, "application/json", fmt.Sprintf(format, args...), status)
}

// now returns the current state of the model.
func (s *story) now() *expected {
	e := &expected{balances: map[string]string{}, outcomes: maps.Clone(s.outcomes), waiting: map[string]string{}}
	for at, b := range s.balances {
		if b.Sign() != 0 {
			e.balances[at] = b.String()
		}
	}
	for at, w := range s.waits {
		e.waiting[strings.Join([]string{at.book, at.node, at.customer, at.meter, at.card, at.day, w.rule.model}, "|")] = fmt.Sprint(w.quantity, " ", w.events)
	}
	return e
}

// send sends some events: a run of a source's sequences, which may overlap the
// last run and have gaps, or ids in any order, or both. Some have another
// content under a known identity, and some name a node or a meter that is not
// declared yet.
func (s *story) send() {
	var list []usage
	for range 1 + s.random.IntN(3) {
		foreign := s.random.IntN(3) == 0
		source := s.pick("/a", "/b")
		first := s.random.IntN(120)
		for i := range 1 + s.random.IntN(25) {
			if s.random.IntN(12) == 0 {
				continue
			}
			u := s.event(source, first+i, foreign)
			if s.random.IntN(40) == 0 {
				u.quantity++
			}
			list = append(list, u)
		}
	}
	if s.random.IntN(4) == 0 {
		s.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	// Events that are packed together are separated by kind and book. Here an
	// identity belongs to one kind and one book, so the order of the rest does
	// not matter.
	for _, u := range list {
		s.use(u)
	}
	if len(list) > 0 {
		done := step{usage: list}
		if _, known := s.nodes["n8"]; !known {
			done.unknown = "n8"
		}
		s.steps = append(s.steps, done)
	}
}

// event returns the event of an identity; it is always the same.
func (s *story) event(source string, number int, foreign bool) usage {
	seed := uint64(number)
	if foreign {
		seed += 1 << 20
	}
	r := rand.New(rand.NewPCG(seed, uint64(source[1])))
	u := usage{source: source, number: number + 1, foreign: foreign, quantity: r.IntN(5_000_000)}
	if r.IntN(10) == 0 {
		u.quantity = r.IntN(3)
	}
	u.end = begins.Add(time.Duration(r.IntN(5*24*60)) * time.Minute)
	if r.IntN(10) == 0 {
		u.end = begins.AddDate(0, 0, 1+r.IntN(5)) // exactly on the boundary
	}
	if r.IntN(5) == 0 {
		u.node, u.customer, u.meter = "n6", "c4", "other"
		if r.IntN(2) == 0 {
			u.node, u.customer = "n7", "c5"
		}
		return u
	}
	u.node = []string{"n1", "n2", "n3", "n4", "n5", "n8"}[r.IntN(6)]
	u.customer = []string{"c1", "c2", "c3"}[r.IntN(3)]
	u.meter = []string{"gpu", "gpu", "gpu", "tokens", "free", "later"}[r.IntN(6)]
	u.model = []string{"", "", "h100", "a10"}[r.IntN(4)]
	return u
}

// observe adds rounds to one source, mostly near the peg and sometimes late.
func (s *story) observe() {
	source := s.pick("cl", "cl", "cl", "ky")
	at, ok := s.rates[source]
	if !ok {
		at = begins.Add(-time.Hour)
	}
	var rounds []string
	for range 1 + s.random.IntN(4) {
		rate := fmt.Sprintf("%d.%06d", 1, s.random.IntN(7_000))
		switch s.random.IntN(12) {
		case 0:
			rate = "0.93"
		case 1, 2:
			rate = fmt.Sprintf("0.99%04d", s.random.IntN(10_000))
		}
		r := round{s.name("r"), at, rat(rate)}
		s.model.rounds[source] = append(s.model.rounds[source], r)
		rounds = append(rounds, fmt.Sprintf(`{"round":%q,"time":%q,"rate":%q}`, r.name, at.Format(time.RFC3339), rate))
		at = at.Add(time.Duration(30+s.random.IntN(300)) * time.Minute)
		if s.random.IntN(10) == 0 {
			at = at.Add(6 * time.Hour)
		}
	}
	s.rates[source] = at
	s.json("/v1/quotes", `{"pair":"USDC/USD","source":%q,"rounds":[%s]}`, source, strings.Join(rounds, ","))
}

func (s *story) deposit() {
	customer := s.pick("c1", "c2", "c3", "c4", "c5")
	book := s.book[customer]
	micro := int64(1 + s.random.IntN(20_000_000))
	amount := new(big.Int).Mul(big.NewInt(micro), minorUSDC)
	s.move("treasury:"+s.asset[book], "customer:"+customer+":prepaid", s.asset[book], amount)
	s.collect(customer)
	body := fmt.Sprintf(`{"book":%q,"customer":%q,"asset":%q,"amount":"%d.%06d","reference":%q}`,
		book, customer, s.asset[book], micro/1_000_000, micro%1_000_000, s.name("bank "))
	s.json("/v1/deposits", "%s", body)
	if s.random.IntN(4) == 0 {
		s.json("/v1/deposits", "%s", body) // sent again, as if the answer was lost
	}
}

func (s *story) collectSome() {
	if book := s.pick("b1", "b2", ""); book != "" {
		s.collectAll(book)
		s.json("/v1/collections", `{"book":%q}`, book)
		return
	}
	customer := s.pick("c1", "c2", "c3", "c4", "c5")
	s.collect(customer)
	s.json("/v1/collections", `{"book":%q,"customer":%q}`, s.book[customer], customer)
}

func (s *story) closeDay() {
	if s.random.IntN(2) == 0 {
		return
	}
	book := s.pick("b1", "b1", "b2")
	next := begins
	if closed := s.closed[book]; closed != "" {
		last, _ := time.Parse("2006-01-02", closed)
		next = last.AddDate(0, 0, 1)
	}
	if s.random.IntN(3) == 0 {
		next = next.AddDate(0, 0, 1) // closes two days
	}
	if next.After(begins.AddDate(0, 0, 40)) {
		return
	}
	period := next.Format("2006-01-02")
	s.close(book, period)
	if book == "b1" {
		s.days = append(s.days, period)
	}
	s.json("/v1/periods/close", `{"book":%q,"period":%q}`, book, period)
}

func (s *story) distributeSome() {
	token := s.pick("T1", "T2")
	if s.closed["b1"] == "" {
		s.want(409, "/v1/distributions", `{"token":%q,"period":"2026-03-01"}`, token)
		return
	}
	last, _ := time.Parse("2006-01-02", s.closed["b1"])
	period := last.AddDate(0, 0, -s.random.IntN(2)).Format("2006-01-02") // perhaps closed together with another
	id := token + ":" + period
	for n := 2; s.made[id] == "void"; n++ {
		id = fmt.Sprintf("%s:%s:%d", token, period, n)
	}
	status := 200
	switch {
	case s.made[id] != "": // it was distributed, and is not distributed again
	case s.waitingFor(token, period).Sign() == 0:
		status = 409 // and nothing is recorded
	case !s.distribute(id, token, period, "USDC"):
		s.made[id] = "void" // the id is taken nevertheless
		status = 409
	}
	s.want(status, "/v1/distributions", `{"token":%q,"period":%q}`, token, period)
}

func (s *story) anyMade() (id string, ok bool) {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(s.made)) {
		if s.made[id] != "void" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", false
	}
	return s.pick(ids...), true
}

func (s *story) export() {
	id, ok := s.anyMade()
	if !ok {
		return
	}
	planned := s.of(id, "planned")
	for _, p := range planned {
		if s.listed[p.holder] {
			s.turn(p, "withheld")
		} else {
			p.state = "submitted"
		}
	}
	if len(planned) > 0 {
		s.json("/v1/payouts/export", `{"distribution":%q}`, id)
	}
}

func (s *story) confirm() {
	id, ok := s.anyMade()
	if !ok {
		return
	}
	file := "payout_id,state,reference\n"
	lines := 0
	for _, p := range append(s.of(id, "submitted"), s.of(id, "confirmed")...) {
		state := s.pick("confirmed", "confirmed", "failed", "returned", "", "")
		if p.state == "confirmed" {
			state = s.pick("", "", "", "confirmed", "returned")
		}
		if state == "" {
			continue
		}
		if state != p.state {
			s.turn(p, state)
		}
		file += p.id + "," + state + ",ref\n"
		lines++
	}
	if lines > 0 {
		s.ask("POST", "/v1/payouts/batches/"+id+":csv/confirm", "text/csv", file, 200)
		if s.random.IntN(3) == 0 {
			s.ask("POST", "/v1/payouts/batches/"+id+":csv/confirm", "text/csv", file, 200)
		}
	}
}

// correct decides what became of a payout, against the answer of its rail.
func (s *story) correct() {
	var list []*paying
	for _, id := range slices.Sorted(maps.Keys(s.payouts)) {
		if p := s.payouts[id]; p.state != "planned" && p.state != "withheld" {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return
	}
	p := list[s.random.IntN(len(list))]
	state, reason := s.pick("submitted", "confirmed", "failed", "returned"), s.name("letter")
	s.turn(p, state)
	for range 1 + s.random.IntN(2) { // a repetition changes nothing
		s.json("/v1/payouts/corrections/"+p.id, `{"state":%q,"reason":%q}`, state, reason)
	}
}

// payOwed asks for a payout run. If something may be paid a run is made;
// otherwise the last run is the answer.
func (s *story) payOwed() {
	token := s.pick("T1", "T2")
	n := 1
	for s.made[fmt.Sprintf("%s:run:%d", token, n)] != "" {
		n++
	}
	if s.canRun(token) {
		s.run(fmt.Sprintf("%s:run:%d", token, n), token, "USDC")
		s.json("/v1/payouts/runs", `{"token":%q}`, token)
	} else if n == 1 {
		s.want(409, "/v1/payouts/runs", `{"token":%q}`, token)
		return
	}
	if s.random.IntN(3) == 0 {
		s.json("/v1/payouts/runs", `{"token":%q}`, token)
	}
}

func (s *story) hold() {
	clear(s.listed)
	var names []string
	for _, h := range []string{"ann", "bob", "cyd", "dan", "eve", "zoe"} {
		if s.random.IntN(4) == 0 {
			s.listed[h] = true
			names = append(names, h)
		}
	}
	s.ask("POST", "/v1/holds/list?empty=true", "text/plain", strings.Join(names, "\n")+"\n", 200)
}

// issue gives some holders units in addition to those that they have.
func (s *story) issue() {
	token := s.pick("T1", "T2")
	file := "holder,units\n"
	lines := 0
	for _, h := range []string{"ann", "bob", "cyd", "dan", "eve"} {
		if s.random.IntN(2) == 0 {
			units := int64(1 + s.random.IntN(1000))
			add(s.register, token, h, big.NewInt(units))
			file += fmt.Sprintf("%s,%d\n", h, units)
			lines++
		}
	}
	if lines > 0 {
		name := s.name("file") // a comment column makes equal files different
		file = strings.ReplaceAll(strings.ReplaceAll(file, "\n", ","+name+"\n"), "units,"+name, "units,note")
		s.ask("POST", "/v1/registers/"+token+"/import?add=true&file="+name, "text/csv", file, 200)
	}
}

// moveNode moves n2 between T1 and the token of the remaining nodes.
func (s *story) moveNode() {
	nodes := "n1, n2"
	s.tokenOf["n2"] = "T1"
	if s.random.IntN(2) == 0 {
		nodes, s.tokenOf["n2"] = "n1", "T2"
	}
	s.apply(fmt.Sprintf("{kind: Token, token: T1, book: b1, nodes: [%s]}\n", nodes))
}

func (s *story) changeFee() {
	token := s.pick("T1", "T2")
	s.fee[token] = []int{0, 1, 333, 9_999, 10_000}[s.random.IntN(5)]
	s.apply(fmt.Sprintf("{kind: Waterfall, token: %s, fee: %d.%02d%%}\n", token, s.fee[token]/100, s.fee[token]%100))
}

func (s *story) releaseAll() {
	source := s.pick("cl", "ky")
	if len(s.model.rounds[source]) == 0 || s.random.IntN(3) > 0 {
		return
	}
	r := s.model.rounds[source][s.random.IntN(len(s.model.rounds[source]))]
	s.release(r.rate)
	s.json("/v1/suspense/release", `{"pair":"USDC/USD","source":%q,"round":%q,"reason":"checked by hand"}`, source, r.name)
}

// releaseNothing names a round that does not exist.
func (s *story) releaseNothing() {
	s.want(409, "/v1/suspense/release", `{"pair":"USDC/USD","source":"cl","round":"r0","reason":"a slip of the hand"}`)
}

// declareLate declares the nodes and cards whose absence had made usage be
// refused.
func (s *story) declareLate() {
	since := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	switch s.random.IntN(3) {
	case 0:
		if _, known := s.nodes["n8"]; !known {
			s.nodes["n8"], s.book["n8"], s.tokenOf["n8"] = "", "b1", "T2"
			s.apply("{kind: Node, node: n8, book: b1}\n")
		}
	case 1:
		if len(s.rules["later"]) == 0 {
			s.rules["later"] = []rule{{"later@1", "", "11", "13", 0, "USD", since}}
			s.apply(laterYAML)
		}
	case 2:
		if s.second["main"] == (time.Time{}) {
			from := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
			s.second["main"] = from
			s.rules["gpu"] = append(s.rules["gpu"], rule{"main@2", "", "2.49", "3600", 0, "USD", from})
			s.rules["tokens"] = append(s.rules["tokens"], rule{"main@2", "", "0.000007", "3", 0, "USD", from})
			s.rules["free"] = append(s.rules["free"], rule{"main@2", "", "0", "1", 0, "USD", from})
			s.apply(secondYAML)
		}
	}
}

// nothing makes a decision without effect.
func (s *story) nothing() {
	s.want(409, "/v1/collections", `{"book":"b1","customer":"c4"}`)
}
