package events

import (
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// MovementKind says what happened in a register. The values are stable.
type MovementKind uint8

const (
	Issued         MovementKind = 1 // Units were created for To
	Transferred    MovementKind = 2 // Units went from From to To
	Burned         MovementKind = 3 // Units of From were destroyed
	Frozen         MovementKind = 4 // Units of From cannot be moved by their holder; zero means the whole holder
	Unfrozen       MovementKind = 5 // the freeze of Units was removed; zero means that of the whole holder
	ForcedTransfer MovementKind = 6 // Units went from From to To by authority
	Recovered      MovementKind = 7 // everything of From, a lost wallet, now belongs to To, which has the same identity
)

// String returns the stable name of a kind, such as "issued".
func (k MovementKind) String() string {
	switch k {
	case Issued:
		return "issued"
	case Transferred:
		return "transferred"
	case Burned:
		return "burned"
	case Frozen:
		return "frozen"
	case Unfrozen:
		return "unfrozen"
	case ForcedTransfer:
		return "forced_transfer"
	case Recovered:
		return "recovered"
	}
	return fmt.Sprintf("movement kind %d", uint8(k))
}

func (k MovementKind) hasFrom() bool  { return k != Issued }
func (k MovementKind) hasTo() bool    { return k == Issued || k == Transferred || k >= ForcedTransfer }
func (k MovementKind) hasUnits() bool { return k != Recovered }

// Movement is one change of a register. The register decides whether it is
// possible at its position, for example whether there are enough units.
type Movement struct {
	ID        string // unique within the token; if empty, [Movements.MovementID] makes one
	Kind      MovementKind
	From, To  Holder      // where the kind has them
	Units     money.Units // if the kind has them; above zero except for a freeze
	Effective time.Time   // when it happened, according to the source; not before 1970
	Ref       string      // its evidence: a file, a chain's log, a court's order
}

// Movements is one message of register.<token>: movements that one actor
// recorded together, in order. An import of a large register has several
// messages.
type Movements struct {
	ID        string // chosen by the sender; the same ID again is the same message
	Token     Token
	Actor     Actor
	Approver  Actor     // if a policy requires two people; empty otherwise
	At        time.Time // when it was recorded, UTC, nanoseconds
	Movements []Movement
}

// MaxMovements is the largest encoded message of movements in bytes.
const MaxMovements = 400_000

// MovementID returns the id of the movement at an index: its own id or, if it
// has none, the message's id with "/" and the index, from 0.
func (m *Movements) MovementID(index int) string {
	if id := m.Movements[index].ID; id != "" {
		return id
	}
	return fmt.Sprintf("%s/%d", m.ID, index)
}

// Validate returns every problem of a message and the first 20 problems of its
// movements. What is valid in version 1 stays valid in version 1.
func (m *Movements) Validate() error {
	var p Problems
	p.name("id", m.ID)
	p.name("token", string(m.Token))
	p.name("actor", string(m.Actor))
	p.optionalName("approver", string(m.Approver))
	p.time("at", m.At)
	if len(m.Movements) == 0 {
		p.add("movements", "is empty")
	}
	for i := range m.Movements {
		m.Movements[i].check(&p, i)
		if len(p) > 20 {
			p.add("movements", "and perhaps more")
			break
		}
	}
	return p.orNil()
}

func (m *Movement) check(all *Problems, index int) {
	var p Problems
	if m.Kind < Issued || m.Kind > Recovered {
		p.add("kind", "%d is not known", m.Kind)
	} else {
		p.optionalName("id", m.ID)
		p.party("from", m.From, m.Kind.hasFrom())
		p.party("to", m.To, m.Kind.hasTo())
		if m.Kind.hasFrom() && m.Kind.hasTo() && m.From == m.To {
			p.add("to", "is the same holder as from")
		}
		switch {
		case !m.Kind.hasUnits() && !m.Units.IsZero():
			p.add("units", "are given, but everything is %s", m.Kind)
		case m.Kind.hasUnits() && m.Units.IsZero() && m.Kind != Frozen && m.Kind != Unfrozen:
			p.add("units", "is zero")
		}
		p.time("effective", m.Effective)
		p.text("ref", m.Ref)
	}
	for _, one := range p {
		all.add(fmt.Sprintf("movements[%d].%s", index, one.Field), "%s", one.Detail)
	}
}

func (p *Problems) party(field string, h Holder, wanted bool) {
	switch {
	case wanted:
		p.holder(field, h)
	case !wanted && h != "":
		p.add(field, "is given, but has no meaning here")
	}
}
