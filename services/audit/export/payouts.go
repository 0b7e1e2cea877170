package export

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
)

func payoutColumns() []Column {
	return []Column{
		{"payout", Text, false},
		{"distribution", Text, false}, // or payout run
		{"token", Text, false},
		{"book", Text, true},
		{"period", Text, true}, // period of the revenue; none for a payout run
		{"holder", Text, false},
		{"asset", Text, false},
		{"amount", Decimal, false},
		{"rail", Text, false},
		{"state", Text, false},
		{"reference", Text, true}, // of the rail
		{"planned", Instant, false},
		{"batch", Text, true},
		{"submitted", Instant, true},
		{"submitted_position", Count, true}, // in PAYOUT
		{"changed", Instant, true},          // time of the present state
		{"changed_position", Count, true},   // in PAYOUT
		{"answer", Text, true},              // the last state in the rail's files, or in a person's correction of them
		{"answered_by", Text, true},         // the person who recorded it
		{"answer_position", Count, true},    // in CONTROL
		{"conflict", Text, true},            // an answer in a rail's file that had no effect, until another answer or a correction resolves it
		{"agrees", Truth, false},            // the state agrees with the rail's files, and no conflict is open
	}
}

// step is what one message says about a payout, in the form that the sorter
// keeps.
type step struct {
	Kind         string             `json:"k"` // planned, changed, answered, corrected
	Position     uint64             `json:"p"`
	Control      uint64             `json:"n,omitempty"` // of the decision that changed it
	Time         time.Time          `json:"t"`
	Distribution string             `json:"d,omitempty"`
	Token        events.Token       `json:"o,omitempty"`
	Rail         events.Rail        `json:"r,omitempty"`
	Holder       events.Holder      `json:"h,omitempty"`
	Asset        money.Asset        `json:"a,omitempty"`
	Amount       money.Amount       `json:"m,omitzero"`
	Batch        string             `json:"b,omitempty"`
	State        distribution.State `json:"s,omitempty"`
	Reference    string             `json:"f,omitempty"`
	Actor        events.Actor       `json:"c,omitempty"`
}

// life is everything that became of one payout.
type life struct {
	payout    string
	plan      step
	submitted step
	last      step // the change into the present state
	answer    step // of the rail
	state     distribution.State
	reference string

	changes  []step // ascending by the decisions
	conflict string // the last open conflict
}

func (l *life) take(s *step) {
	switch s.Kind {
	case "planned":
		l.plan, l.state = *s, distribution.Planned
	case "changed":
		l.last, l.state = *s, s.State
		if s.State == distribution.Submitted {
			l.submitted = *s
		}
		if s.Reference != "" {
			l.reference = s.Reference
		}
		l.changes = append(l.changes, *s)
	case "answered":
		l.answer = *s
		l.compare(s)
	case "corrected":
		if l.changedBy(s) {
			l.answer = *s
		}
	}
}

// changedBy reports whether a decision changed the payout.
func (l *life) changedBy(s *step) bool {
	return slices.ContainsFunc(l.changes, func(c step) bool { return c.Control == s.Position && c.State == s.State })
}

// compare records an answer that had no effect because it contradicted what was
// known at that time.
func (l *life) compare(s *step) {
	if l.changedBy(s) {
		return
	}
	was := distribution.Payout{Holder: l.plan.Holder, Asset: l.plan.Asset, Amount: l.plan.Amount, State: distribution.Planned}
	for i := range l.changes {
		c := &l.changes[i]
		if c.Control > s.Position {
			return // resolved since
		}
		was.State = c.State
		if c.Reference != "" {
			was.Reference = c.Reference
		}
	}
	said := events.PayoutOutcome{State: string(s.State), Reference: s.Reference, Holder: s.Holder, Asset: s.Asset, Amount: s.Amount}
	if _, err := payout.Answer(&was, &said); err != nil {
		l.conflict = err.Error()
	}
}

// agrees reports whether a payout's state is the one that the rail, or the person
// who corrected it, has named, and no answer of the rail contradicts it.
func (l *life) agrees() bool {
	if l.conflict != "" {
		return false
	}
	switch l.state {
	case distribution.Planned, distribution.Withheld, distribution.Submitted:
		return l.answer.State == "" || l.answer.State == l.state
	}
	return l.answer.State == l.state
}

// made is a distribution or a payout run as PAYOUT describes it.
type made struct {
	events.DistributionMade
	book     events.Book
	position uint64
}

// lives calls each for every payout, ascending by id, after it has called found
// with every distribution.
func (r *run) lives(found func(map[string]*made), each func(*life, *made) error) error {
	var all sorter
	defer all.close()
	add := func(payout string, s step) error {
		value, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return all.add([]byte(payout), value)
	}
	distributions := map[string]*made{}
	if err := r.payoutSteps(distributions, add); err != nil {
		return err
	}
	if err := r.answers(add); err != nil {
		return err
	}
	if found != nil {
		found(distributions)
	}
	var l *life
	flush := func() error {
		// The rail may have answered for a payout that was never planned; the
		// directory refuses that.
		if l == nil || l.plan.Kind == "" {
			return nil
		}
		of := distributions[l.plan.Distribution]
		if of == nil {
			of = &made{}
		}
		if !r.wanted(of.book, of.Period) || r.Token != "" && r.Token != l.plan.Token {
			return nil
		}
		return each(l, of)
	}
	err := all.each(func(key, value []byte) error {
		if l == nil || l.payout != string(key) {
			if err := flush(); err != nil {
				return err
			}
			l = &life{payout: string(key)}
		}
		var s step
		if err := json.Unmarshal(value, &s); err != nil {
			return err
		}
		l.take(&s)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// payoutSteps reads the messages of PAYOUT that are not journal records.
func (r *run) payoutSteps(distributions map[string]*made, add func(string, step) error) error {
	return r.read(r.payout, 1, r.payout.size, func(m *message) error {
		if ledger.IsRecord(m.Data) {
			return nil
		}
		said, err := events.DecodePaid(m.Data)
		if err != nil {
			return err
		}
		switch s := said.(type) {
		case events.DistributionMade:
			token, _ := r.directory.Token(s.Token)
			distributions[s.Distribution] = &made{s, token.Book, m.Seq}
		case events.PayoutRunMade: // has no period
			token, _ := r.directory.Token(s.Token)
			distributions[s.Run] = &made{events.DistributionMade{Distribution: s.Run, Token: s.Token, Control: s.Control, Void: s.Void}, token.Book, m.Seq}
		case events.PayoutsPlanned:
			for _, p := range s.Payouts {
				err := add(p.Payout, step{
					Kind: "planned", Position: m.Seq, Time: m.Time, Distribution: s.Distribution, Token: s.Token, Rail: s.Rail,
					Holder: p.Holder, Asset: p.Asset, Amount: p.Amount,
				})
				if err != nil {
					return err
				}
			}
		case events.PayoutsChanged:
			for _, c := range s.Changes {
				err := add(c.Payout, step{
					Kind: "changed", Position: m.Seq, Control: s.Control, Time: m.Time, Batch: s.Batch, State: distribution.State(c.State), Reference: c.Reference,
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// answers reads the answers in the rails' files, as they were recorded in
// CONTROL.
func (r *run) answers(add func(string, step) error) error {
	return r.decided(func(d decided) error {
		if c, ok := d.Body.(events.PayoutCorrected); ok && d.effect != voided {
			return add(c.Payout, step{
				Kind: "corrected", Position: d.m.Seq, Time: d.At, State: distribution.State(c.State), Reference: c.Reference, Actor: d.Actor,
			})
		}
		answer, ok := d.Body.(events.PayoutsConfirmed)
		if !ok || d.effect == voided {
			return nil
		}
		for _, o := range answer.Results {
			err := add(o.Payout, step{
				Kind: "answered", Position: d.m.Seq, Time: d.At, Batch: answer.Batch, State: distribution.State(o.State), Reference: o.Reference, Actor: d.Actor,
				Holder: o.Holder, Asset: o.Asset, Amount: o.Amount,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// payouts lists every payout with everything that became of it.
func (r *run) payouts() error {
	return r.lives(nil, func(l *life, of *made) error {
		position := func(s *step) cell {
			if s.Position == 0 {
				return cell{}
			}
			return count(s.Position)
		}
		batch := l.submitted.Batch
		if batch == "" {
			batch = l.last.Batch
		}
		return r.emit(r.payout, l.plan.Position, text(l.payout), text(l.plan.Distribution), text(l.plan.Token), named(of.book), named(of.Period),
			text(l.plan.Holder), text(l.plan.Asset), amount(l.plan.Amount), text(l.plan.Rail), text(l.state), named(l.reference), moment(l.plan.Time),
			named(batch), moment(l.submitted.Time), position(&l.submitted), moment(l.last.Time), position(&l.last),
			named(l.answer.State), named(l.answer.Actor), position(&l.answer), named(l.conflict), truth(l.agrees()))
	})
}
