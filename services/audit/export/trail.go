package export

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// trailColumns are what SEC rule 17a-4(f)(2)(i)(A) requires of an audit trail:
// what was recorded, when, by whom, and everything needed to recreate the
// original. The leaf is included so that the root of the log can be computed from
// the file alone: RFC 6962 over the leaves of a stream, in order, up to
// tree_size.
func trailColumns() []Column {
	return []Column{
		{"subject", Text, false}, // subject to which it was published
		{"kind", Text, false},
		{"id", Text, true}, // of the sender
		{"actor", Text, true},
		{"approver", Text, true},
		{"at", Instant, true},        // time in the record
		{"recorded", Instant, false}, // time when the stream stored it
		{"amends", Text, true},       // what it corrects or retracts
		{"sha256", Text, false},      // of the data, in hexadecimal
		{"size", Count, false},       // bytes of the data
		{"data", Bytes, false},       // the record itself
		{"leaf", Bytes, true},        // its leaf in the log
	}
}

// trail lists every record of every stream that has a log: USAGE, CONTROL,
// REGISTER, LEDGER and PAYOUT, each in its order.
func (r *run) trail() error {
	var w witness
	for _, s := range append(slices.Clone(r.usage), r.control, r.register, r.ledger, r.payout) {
		err := r.read(s, 1, s.size, func(m *message) error {
			t := w.look(r, m)
			leaf := cell{}
			if m.leaf != nil {
				leaf = blob(m.leaf)
			}
			return r.emit(s, m.Seq, text(m.Subject), text(t.kind), named(t.id), named(t.actor), named(t.approver), t.at, moment(m.Time), named(t.amends),
				text(hex.EncodeToString(m.sha256[:])), count(len(m.Data)), blob(m.Data), leaf)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// testimony is what a record says about itself.
type testimony struct {
	kind, id, actor, approver, amends string
	at                                cell
}

// witness reads records of every stream.
type witness struct {
	decoded events.Message
	scratch []byte
	columns packed.Columns
}

// unreadable is the kind of a record that its stream should not contain.
const unreadable = "unreadable"

func (w *witness) look(r *run, m *message) testimony {
	switch m.of {
	case r.control:
		d, err := events.DecodeDecision(m.Data)
		if err != nil {
			break
		}
		return testimony{kind: d.Body.Kind(), id: d.ID, actor: string(d.Actor), approver: string(d.Approver), at: moment(d.At)}
	case r.register:
		moved, err := events.DecodeMovements(m.Data)
		if err != nil {
			break
		}
		return testimony{kind: "movements", id: moved.ID, actor: string(moved.Actor), approver: string(moved.Approver), at: moment(moved.At)}
	case r.ledger:
		record, err := ledger.DecodeHeader(m.Data)
		if err != nil {
			break
		}
		return testimony{kind: "record", actor: fmt.Sprintf("settle-%d", record.Partition)}
	case r.payout:
		return w.paid(m)
	default:
		return w.usage(m)
	}
	return testimony{kind: unreadable}
}

func (*witness) paid(m *message) testimony {
	t := testimony{kind: "record", actor: "distribute"}
	if !ledger.IsRecord(m.Data) {
		said, err := events.DecodePaid(m.Data)
		if err != nil {
			return testimony{kind: unreadable}
		}
		t.kind = said.Kind()
	}
	return t
}

// usage returns the keys that authenticated a batch, and the events that it
// amends.
func (w *witness) usage(m *message) testimony {
	var err error
	if w.scratch, err = w.decoded.Decode(m.Data, w.scratch); err != nil {
		return testimony{kind: unreadable}
	}
	switch w.decoded.Kind {
	case events.Barrier:
		return testimony{kind: "barrier", actor: "settle"}
	case events.Marker:
		return testimony{kind: "marker", actor: "settle"}
	}
	t := testimony{kind: "batch"}
	var actors, amends []string
	for i := range w.decoded.Segments {
		s := &w.decoded.Segments[i]
		if t.at.kind == 0 {
			t.at = instant(s.Received)
		}
		if w.columns.Decode(s.Packed) != nil {
			actors = append(actors, s.Key)
			continue
		}
		actors = append(actors, fmt.Sprintf("provider:%s key:%s", w.columns.Provider, s.Key))
		for _, a := range w.columns.Amends {
			amends = append(amends, string(w.columns.Strings[a.ID]))
		}
	}
	slices.Sort(actors)
	t.actor, t.amends = strings.Join(slices.Compact(actors), "; "), strings.Join(amends, "; ")
	return t
}
