package export

import (
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/register"
)

func holderColumns() []Column {
	return []Column{
		{"token", Text, false},
		{"holder", Text, false},
		{"units", Wide, false},
		{"frozen", Wide, false}, // part of units
		{"frozen_whole", Truth, false},
		{"supply", Wide, false},
		{"holders", Count, false},
		{"register_position", Count, false}, // position of the last message that was counted
	}
}

// parseRecordDate reads the point for which a register is asked.
func (r *run) parseRecordDate() error {
	if digits, ok := strings.CutPrefix(r.At, "register:"); ok {
		if position, err := strconv.ParseUint(digits, 10, 63); err == nil && position > 0 {
			if r.cut.register = position; position > r.register.size {
				return wrong("at %s: REGISTER ends at %d", r.At, r.register.size)
			}
			return nil
		}
	}
	t, err := time.Parse(time.RFC3339Nano, r.At)
	if err != nil {
		return wrong("at %q is not a position (register:7) or a record date (RFC 3339)", r.At)
	}
	r.cut.time = t
	return nil
}

// registered is one token's register, as far as it was read.
type registered struct {
	register.Register
	last  uint64
	ended bool // the next message is after the record date
}

// holders lists the holders. At a record date a register ends before the first
// message with a movement that takes effect later, as for a distribution.
func (r *run) holders() error {
	tokens := map[events.Token]*registered{}
	to := r.register.size
	if r.cut.register > 0 {
		to = r.cut.register
	}
	err := r.read(r.register, 1, to, func(m *message) error {
		moved, err := events.DecodeMovements(m.Data)
		if err != nil {
			return err // A distributor stops here too.
		}
		if r.Token != "" && moved.Token != r.Token {
			return nil
		}
		t := tokens[moved.Token]
		if t == nil {
			t = &registered{}
			tokens[moved.Token] = t
		}
		if t.ended = t.ended || r.after(&moved); t.ended {
			return nil
		}
		t.last = m.Seq
		_, _ = t.Apply(&moved) // A void or repeated movement changes nothing.
		return nil
	})
	if err != nil {
		return err
	}
	for _, declared := range r.directory.Tokens() {
		t := tokens[declared.Token]
		if t == nil {
			continue
		}
		for _, h := range t.Holdings() {
			err := r.emit(r.register, t.last, text(declared.Token), text(h.Holder), units(h.Units), units(h.Frozen), truth(t.FrozenWhole(h.Holder)),
				units(t.Supply()), count(t.Len()), count(t.last))
			if err != nil {
				return err
			}
		}
		delete(tokens, declared.Token)
	}
	return nil
}

// after reports whether any movement takes effect after the record date.
func (r *run) after(m *events.Movements) bool {
	if r.cut.time.IsZero() {
		return false
	}
	for i := range m.Movements {
		if m.Movements[i].Effective.After(r.cut.time) {
			return true
		}
	}
	return false
}
