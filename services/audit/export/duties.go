package export

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

func dutyColumns() []Column {
	return []Column{
		{"rule", Text, false},
		{"title", Text, false},
		{"verdict", Text, false}, // kept or broken
		{"actor", Text, true},    // the person who held both duties
		{"subject", Text, true},  // a distribution, a pair, a token, a book, a decision
		{"book", Text, true},
		{"first_kind", Text, true},
		{"first_stream", Text, true},
		{"first_position", Count, true},
		{"first_at", Instant, true},
		{"second_kind", Text, true}, // the row names this record
		{"second_at", Instant, true},
	}
}

// deed is one action of one actor.
type deed struct {
	actor    events.Actor
	kind     string
	of       *source
	position uint64
	at       time.Time
}

// finding is two duties held by one actor.
type finding struct {
	subject       string
	book          events.Book
	actor         events.Actor
	first, second deed
}

func (a *finding) compare(b *finding) int {
	return cmp.Or(strings.Compare(string(a.book), string(b.book)), strings.Compare(a.subject, b.subject), strings.Compare(string(a.actor), string(b.actor)),
		cmp.Compare(a.first.position, b.first.position), cmp.Compare(a.second.position, b.second.position))
}

// duty is a rule about what one actor should not do alone.
type duty struct {
	name, title string
	find        func(*deeds) []finding
}

func dutyRules() []duty {
	return []duty{
		{"declared-and-confirmed", "Nobody declares a distribution and confirms its payouts", func(d *deeds) []finding { return d.both(d.declared, d.confirmed) }},
		{"declared-and-submitted", "Nobody declares a distribution and hands its payouts to the rail", func(d *deeds) []finding { return d.both(d.declared, d.submitted) }},
		{"quoted-and-released", "Nobody records quotes of a pair, or its policy, and releases what waits for it", func(d *deeds) []finding { return d.both(d.quoted, d.released) }},
		{"priced-and-closed", "Nobody sets a book's prices and closes its periods", func(d *deeds) []finding { return d.both(d.priced, d.closed) }},
		{"registered-and-declared", "Nobody keeps a token's register and declares its distributions", func(d *deeds) []finding { return d.both(d.registered, d.declaredOf) }},
		{"deposited-and-confirmed", "Nobody records a book's deposits and confirms payouts from it", func(d *deeds) []finding { return d.both(d.deposited, d.paidFrom) }},
		{"self-approved", "Nobody approves a decision of their own", func(d *deeds) []finding { return d.selfApproved }},
		{"single-person-chain", "No distribution is done by one person from the price to the confirmation", (*deeds).chains},
	}
}

// hands are the actors who did something to a subject, each with the first time.
type hands map[subject]map[events.Actor]deed

// subject is what a deed concerns.
type subject struct {
	book events.Book
	name string
}

func (h hands) note(s subject, d deed) {
	if h[s] == nil {
		h[s] = map[events.Actor]deed{}
	}
	if _, before := h[s][d.actor]; !before {
		h[s][d.actor] = d
	}
}

// deeds are what the rules examine. They grow with declarations and actors, not
// with usage.
type deeds struct {
	declared, submitted, confirmed hands // by distribution
	quoted, released               hands // by pair
	priced, closed                 hands // by book
	registered, declaredOf         hands // by token
	deposited, paidFrom            hands // by book
	selfApproved                   []finding
}

func newDeeds() *deeds {
	return &deeds{hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, hands{}, nil}
}

// both finds the actors who are on both sides of a subject.
func (d *deeds) both(first, second hands) (list []finding) {
	for s, actors := range first {
		for actor, one := range actors {
			if other, ok := second[s][actor]; ok {
				if other.at.Before(one.at) {
					one, other = other, one
				}
				list = append(list, finding{s.name, s.book, actor, one, other})
			}
		}
	}
	return list
}

// chains finds the distributions for which one actor did everything: priced the
// book, closed it, declared, submitted and confirmed.
func (d *deeds) chains() (list []finding) {
	for s, declarers := range d.declared {
		book := subject{s.book, string(s.book)}
		links := []map[events.Actor]deed{d.priced[book], d.closed[book], declarers, d.submitted[s], d.confirmed[s]}
		for actor, first := range declarers {
			last, alone := first, true
			for _, link := range links {
				one, did := link[actor]
				alone = alone && did && len(link) == 1
				if did && one.at.Before(first.at) {
					first = one
				}
				if did && one.at.After(last.at) {
					last = one
				}
			}
			if alone {
				list = append(list, finding{s.name, s.book, actor, first, last})
			}
		}
	}
	return list
}

// duties lists, rule by rule, which actors held two duties, and which rules were
// kept.
func (r *run) duties() error {
	all := newDeeds()
	if err := r.decided(func(d decided) error { return r.note(all, &d) }); err != nil {
		return err
	}
	err := r.read(r.register, 1, r.register.size, func(m *message) error {
		moved, err := events.DecodeMovements(m.Data)
		if err != nil {
			return nil
		}
		token, _ := r.directory.Token(moved.Token)
		did := deed{moved.Actor, "movements", r.register, m.Seq, moved.At}
		all.registered.note(subject{token.Book, string(moved.Token)}, did)
		if moved.Approver != "" && moved.Approver == moved.Actor {
			all.selfApproved = append(all.selfApproved, finding{string(moved.Token), token.Book, moved.Actor, did, did})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rule := range dutyRules() {
		if err := r.rule(rule, rule.find(all)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) rule(rule duty, found []finding) error {
	found = slices.DeleteFunc(found, func(f finding) bool { return r.Book != "" && f.book != "" && f.book != r.Book })
	if len(found) == 0 {
		return r.emit(nil, 0, text(rule.name), text(rule.title), text("kept"), cell{}, cell{}, cell{}, cell{}, cell{}, cell{}, cell{}, cell{}, cell{})
	}
	slices.SortFunc(found, func(a, b finding) int { return a.compare(&b) })
	for i := range found {
		f := &found[i]
		err := r.emit(f.second.of, f.second.position, text(rule.name), text(rule.title), text("broken"), text(f.actor), text(f.subject), named(f.book),
			text(f.first.kind), text(f.first.of.stream.Name()), count(f.first.position), moment(f.first.at), text(f.second.kind), moment(f.second.at))
		if err != nil {
			return err
		}
	}
	return nil
}

// note records a decision that took effect, for the rules.
func (r *run) note(all *deeds, d *decided) error {
	if d.effect != applied && d.effect != unchanged {
		return nil
	}
	if r.Void != nil {
		if reason, err := r.Void(r.ctx, d.m.Seq); err != nil || reason != "" {
			return err
		}
	}
	did := deed{d.Actor, d.Body.Kind(), r.control, d.m.Seq, d.At}
	if d.Approver != "" && d.Approver == d.Actor {
		all.selfApproved = append(all.selfApproved, finding{d.ID, "", d.Actor, did, did})
	}
	switch b := d.Body.(type) {
	case events.CardDeclared:
		all.priced.note(subject{b.Book, string(b.Book)}, did)
	case events.PeriodClosed:
		all.closed.note(subject{b.Book, string(b.Book)}, did)
	case events.PeriodReopened:
		all.closed.note(subject{b.Book, string(b.Book)}, did)
	case events.DepositRecorded:
		all.deposited.note(subject{b.Book, string(b.Book)}, did)
	case events.DepositReversed:
		all.deposited.note(subject{b.Book, string(b.Book)}, did)
	case events.QuotesObserved:
		all.quoted.note(subject{"", string(b.Pair)}, did)
	case events.RoundWithdrawn:
		all.quoted.note(subject{"", string(b.Pair)}, did)
	case events.QuotePolicyDeclared:
		all.quoted.note(subject{"", string(b.Pair)}, did)
	case events.SuspenseReleased:
		all.released.note(subject{"", string(b.Pair)}, did)
	case events.DistributionDeclared:
		token, _ := r.directory.Token(b.Token)
		all.declared.note(subject{token.Book, b.Distribution}, did)
		all.declaredOf.note(subject{token.Book, string(b.Token)}, did)
	case events.PayoutRunDeclared:
		token, _ := r.directory.Token(b.Token)
		all.declared.note(subject{token.Book, b.Run}, did)
		all.declaredOf.note(subject{token.Book, string(b.Token)}, did)
	case events.PayoutsSubmitted:
		all.submitted.note(subject{r.bookOf(b.Distribution), b.Distribution}, did)
	case events.PayoutsConfirmed:
		if batch, ok := r.directory.Batch(b.Batch); ok {
			book := r.bookOf(batch.Distribution)
			all.confirmed.note(subject{book, batch.Distribution}, did)
			all.paidFrom.note(subject{book, string(book)}, did)
		}
	case events.PayoutCorrected: // sets a payout's outcome, as a confirmation does
		book := r.bookOf(b.Distribution)
		all.confirmed.note(subject{book, b.Distribution}, did)
		all.paidFrom.note(subject{book, string(book)}, did)
	}
	return nil
}

// bookOf returns the book whose revenue a distribution divides, or a run pays.
func (r *run) bookOf(distribution string) events.Book {
	of, _ := r.directory.PaidFor(distribution)
	token, _ := r.directory.Token(of)
	return token.Book
}
