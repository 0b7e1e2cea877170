package ingest

import (
	"errors"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// verifier checks a packed segment by its columns: every distinct name is asked
// for once, so that an event costs a few comparisons.
type verifier struct {
	nodes     []verdict // by number in the string table
	customers []verdict
	meters    []verdict
	largest   []money.Quantity // of meters
}

type verdict uint8

const (
	unasked verdict = iota
	good
	bad
)

// verify returns the book that all events of a segment belong to; false if they
// belong to several books, or if there is an objection to one of them, which
// the collector then names.
func (v *verifier) verify(c *packed.Columns, g *gate) (events.Book, bool) {
	if len(c.Amends) > 0 { // The collector refuses those.
		return "", false
	}
	n := len(c.Strings)
	v.nodes, v.customers, v.meters = emptied(v.nodes, n), emptied(v.customers, n), emptied(v.meters, n)
	if cap(v.largest) < n {
		v.largest = make([]money.Quantity, n)
	}
	v.largest = v.largest[:n]

	first, ok := g.Node(c.Strings[c.Node[0]])
	if !ok {
		return "", false
	}
	v.nodes[c.Node[0]] = good
	for _, node := range c.Node[:c.N] {
		if v.nodes[node] == good {
			continue
		}
		if route, ok := g.Node(c.Strings[node]); !ok || route != first {
			return "", false
		}
		v.nodes[node] = good
	}
	for _, customer := range c.Customer[:c.N] {
		if v.customers[customer] == good {
			continue
		}
		if !g.Customer(first.Book, c.Strings[customer]) {
			return "", false
		}
		v.customers[customer] = good
	}
	for i, meter := range c.Meter[:c.N] {
		if v.meters[meter] != good {
			if v.largest[meter], ok = g.Meter(first.Book, c.Strings[meter]); !ok {
				return "", false
			}
			v.meters[meter] = good
		}
		if first.Admit(0, c.Quantity[i], v.largest[meter], c.Start[i], c.End[i]) != 0 {
			return "", false
		}
	}
	return first.Book, true
}

func emptied(v []verdict, n int) []verdict {
	if cap(v) < n {
		return make([]verdict, n)
	}
	v = v[:n]
	clear(v)
	return v
}

// collect hands the events of a segment to the collector one by one and notes
// what it refuses. first is the index of the first one in the submission.
func (w *work) collect(c *packed.Columns, first int) {
	amends := c.Amends
	for i := range c.N {
		source := c.Sources[c.Source[i]]
		hi, lo, scale, err := c.Quantity[i].Mantissa()
		if err != nil { // Decode returns no quantity below zero.
			w.refuse(c, i, first, &packed.Fault{Field: "data.quantity", Reason: events.Negative, Detail: err.Error()})
			continue
		}
		w.raw = packed.RawUsage{
			Source: c.Strings[source.Name], Epoch: source.Epoch, Sequenced: c.Sequenced,
			Node: c.Strings[c.Node[i]], Customer: c.Strings[c.Customer[i]], Meter: c.Strings[c.Meter[i]],
			QuantityHigh: hi, QuantityLow: lo, Scale: scale,
			Start: c.Start[i], End: c.End[i],
			Attributes: w.raw.Attributes[:0],
		}
		if c.Sequenced {
			w.raw.Sequence = c.Sequence[i]
		} else {
			w.raw.ID = c.ID(i)
		}
		for _, a := range c.Sets[c.Set[i]] {
			w.raw.Attributes = append(w.raw.Attributes, packed.RawAttribute{Name: c.Strings[a.Name], Value: c.Strings[a.Value]})
		}
		if len(amends) > 0 && int(amends[0].Ordinal) == i {
			if id := c.Strings[amends[0].ID]; amends[0].Retracts {
				w.raw.Retracts = id
			} else {
				w.raw.Replaces = id
			}
			amends = amends[1:]
		}
		if fault := w.collector.Add(&w.raw); fault != nil {
			w.refuse(c, i, first, fault)
		}
	}
}

func (w *work) refuse(c *packed.Columns, i, first int, fault *packed.Fault) {
	w.refusals = append(w.refusals, events.Refusal{
		Index: first + i, ID: label(c, i), Field: fault.Field, Reason: fault.Reason, Detail: fault.Detail,
	})
}

// malformed says why a segment is refused, by the name of its column.
func malformed(segment int, err error) events.Refusal {
	var column *packed.ColumnError
	if errors.As(err, &column) {
		return whole(column.Column, events.Malformed, "segment %d: %s", segment, column.Problem)
	}
	return whole("segment", events.Malformed, "segment %d: %v", segment, err)
}
