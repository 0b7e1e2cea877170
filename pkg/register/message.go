package register

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// ErrRepeat says that a message, by its id, was applied before: this one has no
// effect. An import that is sent again is that, whatever its bytes.
var ErrRepeat = errors.New("the same message was applied before")

// Void is one movement that had no effect, and why.
type Void struct {
	Movement string // its id
	Reason   error
}

// Apply does the movements of a message, each by itself: one that is void
// leaves the others alone. It fails only with [ErrRepeat]. A movement with an
// id of its own happens once, whatever message it comes in.
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
	return fmt.Errorf("%s is not known", m.Kind)
}

// first remembers an id, and reports whether it was new. Sixteen bytes of
// SHA-256 stand for it.
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
