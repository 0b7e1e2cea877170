package events

import (
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// MovementKind is what happened in a register. The values are stable.
type MovementKind uint8

const (
	Issued         MovementKind = 1 // Units were created for To
	Transferred    MovementKind = 2 // Units went from From to To
	Burned         MovementKind = 3 // Units of From were destroyed
	Frozen         MovementKind = 4 // Units of From cannot be moved by their holder; zero: the whole holder
	Unfrozen       MovementKind = 5 // a freeze of so many Units was taken back; zero: that of the whole holder
	ForcedTransfer MovementKind = 6 // Units went from From to To by authority
	Recovered      MovementKind = 7 // everything of From, a lost wallet, is To's: the same identity
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

// Movement is one change of a register. Whether it is possible where it stands
// in the order, for want of units, is for the register to say.
type Movement struct {
	ID        string // unique within the token; empty: [Movements.MovementID] makes it
	Kind      MovementKind
	From, To  Holder      // where the kind has them
	Units     money.Units // where the kind has them; above zero except for a freeze
	Effective time.Time   // when it happened, as the source says; not before 1970
	Ref       string      // what it rests on: a file, a chain's log, a court's order
}

// Movements is one message of register.<token>: what one actor recorded at once,
// in order. An import of a large register is several of them.
type Movements struct {
	ID        string // chosen by the sender; the same ID again is the same message
	Token     Token
	Actor     Actor
	Approver  Actor     // where a policy wants two; empty otherwise
	At        time.Time // when it was recorded, UTC, nanoseconds
	Movements []Movement
}

// MaxMovements is the largest encoded message of movements in bytes.
const MaxMovements = 400_000

// MovementID returns the id of the movement at an index: its own, or else the
// message's with "/" and the index, from 0.
func (m *Movements) MovementID(index int) string {
	if id := m.Movements[index].ID; id != "" {
		return id
	}
	return fmt.Sprintf("%s/%d", m.ID, index)
}

// Validate names every problem of a message and its movements, the first 20 of
// the latter. What is valid in version 1 stays valid in it.
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
