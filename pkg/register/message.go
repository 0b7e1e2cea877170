package register

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// ErrRepeat means that a message with the same id was already applied, so this
// one has no effect. An import that is sent again is such a repeat, even if its
// bytes differ.
var ErrRepeat = errors.New("the same message was already applied")

// Void is a movement that had no effect, with the reason.
type Void struct {
	Movement string // its id
	Reason   error
}

// Apply applies the movements of a message one by one: a void movement does not
// affect the others. It fails only with [ErrRepeat]. A movement with an id of its
// own happens once, in whatever message it arrives.
func (r *Register) Apply(m *events.Movements) (voids []Void, err error) {
	if !r.first("message", m.ID) {
		return nil, fmt.Errorf("message %q: %w", m.ID, ErrRepeat)
	}
	for i := range m.Movements {
		one := &m.Movements[i]
		if one.ID != "" && !r.first("movement", one.ID) {
			voids = append(voids, Void{Movement: one.ID, Reason: ErrRepeat})
			continue
		}
		if err := r.do(one); err != nil {
			voids = append(voids, Void{Movement: m.MovementID(i), Reason: err})
		}
	}
	return voids, nil
}

func (r *Register) do(m *events.Movement) error {
	switch m.Kind {
	case events.Issued:
		return r.Issue(m.To, m.Units)
	case events.Transferred:
		return r.Transfer(m.From, m.To, m.Units)
	case events.Burned:
		return r.Burn(m.From, m.Units)
	case events.Frozen:
		return r.Freeze(m.From, m.Units)
	case events.Unfrozen:
		return r.Unfreeze(m.From, m.Units)
	case events.ForcedTransfer:
		return r.ForceTransfer(m.From, m.To, m.Units)
	case events.Recovered:
		return r.Recover(m.From, m.To)
	}
	return fmt.Errorf("unknown kind of movement %s", m.Kind)
}

// first remembers an id and reports whether it was new. It keeps 16 bytes of the
// SHA-256 of the id.
func (r *Register) first(kind, id string) bool {
	sum := sha256.Sum256([]byte(kind + "\n" + id))
	key := [16]byte(sum[:16])
	if _, seen := r.ids[key]; seen {
		return false
	}
	if r.ids == nil {
		r.ids = map[[16]byte]struct{}{}
	}
	r.ids[key] = struct{}{}
	return true
}
