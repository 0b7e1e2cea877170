package host

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// This file models, as an accountant would, what aliquot does. It was written
// only from the design, with maps, big integers and rationals, and takes one
// event after the other. It shares no code with the engine.

// atto is 10¹⁸, the number of attos in a unit.
var atto = new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)

// usage is one event as a provider describes it.
type usage struct {
	source   string
	number   int
	foreign  bool // identified by id instead of sequence
	node     string
	customer string
	meter    string
	model    string // attribute, or none
	quantity int    // thousandths
	end      time.Time
}

func (u usage) identity() string { return fmt.Sprintf("%s/%v/%d", u.source, u.foreign, u.number) }

func (u usage) content() string {
	return fmt.Sprint(u.node, u.customer, u.meter, u.model, u.quantity, u.end)
}

func (u usage) json() string {
	sequence := fmt.Sprintf(`"sequence":"%d",`, u.number)
	if u.foreign {
		sequence = ""
	}
	attributes := ""
	if u.model != "" {
		attributes = fmt.Sprintf(`,"attributes":{"model":%q}`, u.model)
	}
	return fmt.Sprintf(`{"specversion":"1.0","type":"aliquot.usage","source":%q,"id":"%d",%s"data":{"node":%q,"customer":%q,
		"meter":%q,"quantity":"%d.%03d","start":%q,"end":%q%s}}`, u.source, u.number, sequence, u.node, u.customer, u.meter,
		u.quantity/1000, u.quantity%1000, u.end.Add(-time.Hour).Format(time.RFC3339), u.end.Format(time.RFC3339), attributes)
}

// rule is a card's rule for a meter.
type rule struct {
	card        string // with its version
	model       string // the model that it applies to; empty: every model
	price, per  string
	granularity int // thousandths
	currency    string
	since       time.Time // effective
}

type round struct {
	name string
	at   time.Time
	rate *big.Rat
}

// waiting identifies quantities without a price.
type waiting struct {
	book, node, customer, meter, card, rule, day string
}

type wait struct {
	quantity *big.Int // attos
	events   int
	rule     rule
}

// model is the whole state.
type model struct {
	balances map[string]*big.Int // account|asset → debit minus credit, in attos
	book     map[string]string   // of a node or customer
	asset    map[string]string   // of a book
	nodes    map[string]string   // attribute model of a declared node
	tokenOf  map[string]string
	rules    map[string][]rule    // by meter
	second   map[string]time.Time // when a card's second version takes over
	rounds   map[string][]round
	closed   map[string]string // last closed day of a book

	accepted map[string]string // identity → content
	outcomes map[string]int
	owed     map[string]map[string]map[string]*big.Int // customer → day → node
	kept     map[string]map[string]*big.Int            // collected but not handed over: node → day
	inbox    map[string]map[string]*big.Int            // handed over but not distributed: token → day
	waits    map[waiting]*wait

	fee      map[string]int
	minimum  map[string]*big.Int
	register map[string]map[string]*big.Int // token → holder → units
	listed   map[string]bool
	payable  map[string]map[string]*big.Int // token → holder
	held     map[string]map[string]*big.Int
	made     map[string]string // distribution → token
	payouts  map[string]*paying
}

type paying struct {
	id, distribution, token, holder, asset, state string
	amount                                        *big.Int
}

func newModel() *model {
	return &model{
		balances: map[string]*big.Int{}, book: map[string]string{}, asset: map[string]string{}, nodes: map[string]string{},
		tokenOf: map[string]string{}, rules: map[string][]rule{}, second: map[string]time.Time{}, rounds: map[string][]round{}, closed: map[string]string{},
		accepted: map[string]string{}, outcomes: map[string]int{}, owed: map[string]map[string]map[string]*big.Int{}, waits: map[waiting]*wait{},
		fee: map[string]int{}, minimum: map[string]*big.Int{}, register: map[string]map[string]*big.Int{}, listed: map[string]bool{},
		payable: map[string]map[string]*big.Int{}, held: map[string]map[string]*big.Int{}, made: map[string]string{}, payouts: map[string]*paying{},
		kept: map[string]map[string]*big.Int{}, inbox: map[string]map[string]*big.Int{},
	}
}

func (m *model) move(debit, credit, asset string, amount *big.Int) {
	for account, sign := range map[string]int64{debit: 1, credit: -1} {
		at := account + "|" + asset
		if m.balances[at] == nil {
			m.balances[at] = new(big.Int)
		}
		m.balances[at].Add(m.balances[at], new(big.Int).Mul(amount, big.NewInt(sign)))
	}
}

// balance returns what an account holds, as credit.
func (m *model) balance(account, asset string) *big.Int {
	b := m.balances[account+"|"+asset]
	if b == nil {
		return new(big.Int)
	}
	return new(big.Int).Neg(b)
}

// halfEven rounds to a whole number.
func halfEven(r *big.Rat) *big.Int {
	twice := new(big.Int).Mul(r.Num(), big.NewInt(2))
	quotient, rest := new(big.Int).DivMod(twice, r.Denom(), new(big.Int))
	down := new(big.Int).Rsh(quotient, 1)
	if quotient.Bit(0) == 0 || rest.Sign() == 0 && down.Bit(0) == 0 {
		return down
	}
	return down.Add(down, big.NewInt(1))
}

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// day returns the period of an end: (midnight, next midnight].
func day(end time.Time) string { return end.Add(-time.Nanosecond).Format("2006-01-02") }

// find returns the rule for an event: of those that match, the one with more
// conditions.
func (m *model) find(u usage) (rule, bool) {
	model := u.model
	if own := m.nodes[u.node]; own != "" {
		model = own
	}
	var best *rule
	for i := range m.rules[u.meter] {
		r := &m.rules[u.meter][i]
		name, version, _ := strings.Cut(r.card, "@")
		if r.since.After(u.end) || version == "1" && m.second[name] != (time.Time{}) && !m.second[name].After(u.end) {
			continue // not yet, or no longer, in force
		}
		if (r.model == "" || r.model == model) && (best == nil || r.model != "" && best.model == "") {
			best = r
		}
	}
	if best == nil {
		return rule{}, false
	}
	return *best, true
}

const (
	fresh     = 7 * time.Hour // heartbeat and margin
	heldOff   = "0.02"        // of the peg, 1
	deviating = "0.01"
)

// quote returns the median of the fresh rounds, or none if a guard objects.
func (m *model) quote(instant time.Time) (*big.Rat, bool) {
	var rates []*big.Rat
	for _, source := range slices.Sorted(maps.Keys(m.rounds)) {
		var last *round
		for i := range m.rounds[source] {
			if r := &m.rounds[source][i]; !r.at.After(instant) {
				last = r
			}
		}
		if last != nil && instant.Sub(last.at) <= fresh {
			rates = append(rates, last.rate)
		}
	}
	if len(rates) == 0 {
		return nil, false
	}
	slices.SortFunc(rates, (*big.Rat).Cmp)
	low, high := rates[0], rates[len(rates)-1]
	median := rates[len(rates)/2]
	if len(rates) == 2 {
		median = new(big.Rat).Add(low, high)
		median.Quo(median, rat("2"))
	}
	if new(big.Rat).Sub(high, low).Cmp(new(big.Rat).Mul(rat(deviating), median)) > 0 {
		return nil, false
	}
	if off := new(big.Rat).Sub(median, rat("1")); off.Abs(off).Cmp(rat(heldOff)) > 0 {
		return nil, false
	}
	return median, true
}

// charge is quantity × price ÷ (per × quote), rounded once.
func (r rule) charge(quantity *big.Int, quote *big.Rat) *big.Int {
	c := new(big.Rat).SetInt(quantity)
	c.Mul(c, rat(r.price)).Quo(c, rat(r.per)).Quo(c, quote)
	return halfEven(c)
}

// use gives one event its outcome.
func (m *model) use(u usage) {
	if _, known := m.nodes[u.node]; !known {
		return // ingest refused it: it is in no stream
	}
	if content, seen := m.accepted[u.identity()]; seen {
		if content == u.content() {
			m.outcomes["duplicate"]++
		} else {
			m.outcomes["refused"]++
		}
		return
	}
	r, ok := m.find(u)
	if !ok {
		m.outcomes["refused"]++
		return
	}
	m.accepted[u.identity()] = u.content()
	book := m.book[u.node]
	if closed := m.closed[book]; closed != "" && day(u.end) <= closed {
		m.outcomes["late"]++
	} else {
		m.outcomes["accepted"]++
	}
	billed := u.quantity
	if g := r.granularity; g > 0 {
		billed = (billed + g - 1) / g * g
	}
	quantity := new(big.Int).Mul(big.NewInt(int64(billed)), new(big.Int).Div(atto, big.NewInt(1000)))
	quote, priced := rat("1"), true
	if r.currency != m.asset[book] {
		quote, priced = m.quote(u.end.Add(-time.Nanosecond)) // its last instant
	}
	if priced {
		m.owe(book, u.customer, u.node, day(u.end), r.charge(quantity, quote))
		return
	}
	at := waiting{book, u.node, u.customer, u.meter, r.card, r.model, day(u.end)}
	if m.waits[at] == nil {
		m.waits[at] = &wait{quantity: new(big.Int), rule: r}
	}
	m.waits[at].quantity.Add(m.waits[at].quantity, quantity)
	m.waits[at].events++
}

func (m *model) owe(book, customer, node, day string, amount *big.Int) {
	if amount.Sign() == 0 {
		return
	}
	m.move("customer:"+customer+":receivable", "node:"+node+":earned", m.asset[book], amount)
	if m.owed[customer] == nil {
		m.owed[customer] = map[string]map[string]*big.Int{}
	}
	add(m.owed[customer], day, node, amount)
}

// release prices everything that waits for a price.
func (m *model) release(rate *big.Rat) {
	for at, w := range m.waits {
		m.owe(at.book, at.customer, at.node, at.day, w.rule.charge(w.quantity, rate))
	}
	clear(m.waits)
}

// divide gives each weight its share of a whole by largest remainder; ties go
// to the name that sorts first.
func divide(whole *big.Int, weights map[string]*big.Int) map[string]*big.Int {
	total := new(big.Int)
	for _, w := range weights {
		total.Add(total, w)
	}
	parts, rests := map[string]*big.Int{}, map[string]*big.Int{}
	left := new(big.Int).Set(whole)
	names := slices.Sorted(maps.Keys(weights))
	for _, name := range names {
		parts[name], rests[name] = new(big.Int).DivMod(new(big.Int).Mul(whole, weights[name]), total, new(big.Int))
		left.Sub(left, parts[name])
	}
	slices.SortStableFunc(names, func(a, b string) int { return rests[b].Cmp(rests[a]) })
	for _, name := range names[:left.Int64()] {
		parts[name].Add(parts[name], big.NewInt(1))
	}
	return parts
}

// collect pays what a customer owes, oldest day first.
func (m *model) collect(customer string) {
	for _, day := range slices.Sorted(maps.Keys(m.owed[customer])) {
		m.collectDay(customer, day)
	}
}

func (m *model) collectDay(customer, day string) {
	asset := m.asset[m.book[customer]]
	prepaid := m.balance("customer:"+customer+":prepaid", asset)
	total := new(big.Int)
	owed := m.owed[customer][day]
	for _, amount := range owed {
		total.Add(total, amount)
	}
	if prepaid.Sign() == 0 || total.Sign() == 0 {
		return
	}
	parts := maps.Clone(owed)
	if prepaid.Cmp(total) < 0 {
		total = prepaid
		parts = divide(total, owed)
	}
	m.move("customer:"+customer+":prepaid", "customer:"+customer+":receivable", asset, total)
	for node, part := range parts {
		part = new(big.Int).Set(part)
		m.move("node:"+node+":earned", "node:"+node+":collected", asset, part)
		add(m.kept, node, day, part)
		if owed[node].Sub(owed[node], part).Sign() == 0 {
			delete(owed, node)
		}
	}
}

func (m *model) collectAll(book string) {
	for name := range m.owed {
		if m.book[name] == book {
			m.collect(name)
		}
	}
}

func (m *model) close(book, period string) {
	m.collectAll(book)
	asset := m.asset[book]
	for node, days := range m.kept {
		for day, amount := range days {
			if m.book[node] != book || day > period {
				continue
			}
			to := "provider:acme:payable"
			if token := m.tokenOf[node]; token != "" {
				to = "token:" + token + ":inbox"
				add(m.inbox, token, day, amount)
			}
			m.move("node:"+node+":collected", to, asset, amount)
			delete(days, day)
		}
	}
	m.closed[book] = period
}

// waitingFor returns what is in a token's inbox for a day and earlier days.
func (m *model) waitingFor(token, period string) *big.Int {
	sum := new(big.Int)
	for day, amount := range m.inbox[token] {
		if day <= period {
			sum.Add(sum, amount)
		}
	}
	return sum
}

// distribute distributes what is in a token's inbox for a day and earlier days;
// it returns false if there is no holder.
func (m *model) distribute(id, token, period, asset string) bool {
	inbox := m.waitingFor(token, period)
	if len(m.register[token]) == 0 {
		return false
	}
	for day := range m.inbox[token] {
		if day <= period {
			delete(m.inbox[token], day)
		}
	}
	m.made[id] = token
	fee := halfEven(new(big.Rat).SetFrac(new(big.Int).Mul(inbox, big.NewInt(int64(m.fee[token]))), big.NewInt(10_000)))
	pool := new(big.Int).Sub(inbox, fee)
	m.move("token:"+token+":inbox", "platform:fees", asset, fee)
	m.move("token:"+token+":inbox", "token:"+token+":pool", asset, pool)
	for holder, share := range divide(pool, m.register[token]) {
		side, to := "payable", m.payable
		if m.listed[holder] {
			side, to = "held", m.held
		}
		m.move("token:"+token+":pool", "holder:"+holder+":"+side, asset, share)
		add(to, token, holder, share)
		add(m.payable, token, holder, new(big.Int))
	}
	for holder := range m.payable[token] {
		if m.listed[holder] {
			m.shift(token, holder, asset, "payable", "held")
		} else {
			m.shift(token, holder, asset, "held", "payable")
		}
		m.pay(id, token, holder, asset)
	}
	return true
}

// run makes a payout run of what a token owes; it returns false if nothing may
// be paid.
func (m *model) run(id, token, asset string) bool {
	before := len(m.payouts)
	for holder := range m.payable[token] {
		if m.listed[holder] {
			m.shift(token, holder, asset, "payable", "held")
		} else {
			m.shift(token, holder, asset, "held", "payable")
		}
		m.pay(id, token, holder, asset)
	}
	m.made[id] = token
	return len(m.payouts) > before
}

// canRun reports whether a payout run would pay anything.
func (m *model) canRun(token string) bool {
	for holder, payable := range m.payable[token] {
		owed := new(big.Int).Set(payable)
		if m.held[token][holder] != nil {
			owed.Add(owed, m.held[token][holder])
		}
		if !m.listed[holder] && owed.Cmp(minorUSDC) >= 0 && new(big.Int).Mul(new(big.Int).Div(owed, minorUSDC), minorUSDC).Cmp(m.minimum[token]) >= 0 {
			return true
		}
	}
	return false
}

func add(to map[string]map[string]*big.Int, token, holder string, amount *big.Int) {
	if to[token] == nil {
		to[token] = map[string]*big.Int{}
	}
	if to[token][holder] == nil {
		to[token][holder] = new(big.Int)
	}
	to[token][holder].Add(to[token][holder], amount)
}

// shift makes everything payable held, or everything held payable.
func (m *model) shift(token, holder, asset, from, to string) {
	sides := map[string]map[string]map[string]*big.Int{"payable": m.payable, "held": m.held}
	add(sides[from], token, holder, new(big.Int))
	amount := new(big.Int).Set(sides[from][token][holder])
	if amount.Sign() < 0 {
		return // paid twice: the next shares cover it
	}
	m.move("holder:"+holder+":"+from, "holder:"+holder+":"+to, asset, amount)
	sides[from][token][holder].SetInt64(0)
	add(sides[to], token, holder, amount)
}

// minorUSDC is 10⁻⁶ in attos.
var minorUSDC = big.NewInt(1_000_000_000_000)

func (m *model) pay(id, token, holder, asset string) {
	owed := m.payable[token][holder]
	amount := new(big.Int).Mul(new(big.Int).Div(owed, minorUSDC), minorUSDC)
	if amount.Sign() <= 0 || amount.Cmp(m.minimum[token]) < 0 {
		return
	}
	owed.Sub(owed, amount)
	m.move("holder:"+holder+":payable", "rail:csv:in_flight", asset, amount)
	sum := sha256.Sum256([]byte(strings.Join([]string{"aliquot payout 1", id, asset, holder, ""}, "\n")))
	p := &paying{fmt.Sprintf("po-%x", sum[:16]), id, token, holder, asset, "planned", amount}
	m.payouts[p.id] = p
}

// of returns the payouts of a distribution that are in a state, in ascending
// order.
func (m *model) of(distribution, state string) []*paying {
	var list []*paying
	for _, id := range slices.Sorted(maps.Keys(m.payouts)) {
		if p := m.payouts[id]; p.distribution == distribution && p.state == state {
			list = append(list, p)
		}
	}
	return list
}

// turn moves a payout and its money into a state.
func (m *model) turn(p *paying, state string) {
	from, to := m.where(p), ""
	p.state = state
	if to = m.where(p); from == to {
		return
	}
	m.move(from, to, p.asset, p.amount)
	for account, sign := range map[string]int64{from: -1, to: 1} {
		amount := new(big.Int).Mul(p.amount, big.NewInt(sign))
		switch account {
		case "holder:" + p.holder + ":payable":
			add(m.payable, p.token, p.holder, amount)
		case "holder:" + p.holder + ":held":
			add(m.held, p.token, p.holder, amount)
		}
	}
}

// where returns the account that has a payout's money.
func (m *model) where(p *paying) string {
	switch p.state {
	case "confirmed":
		return "rail:csv:paid"
	case "failed", "returned":
		return "holder:" + p.holder + ":payable"
	case "withheld":
		return "holder:" + p.holder + ":held"
	}
	return "rail:csv:in_flight"
}
