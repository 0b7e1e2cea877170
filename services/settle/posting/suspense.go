package posting

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// suspense holds the usage that waits for a price.
//
// Invariants: a line has one key (see [heldKey]); waiting has the sums of the lines
// as of the last cut.
type suspense struct {
	held    map[settlement.Suspense]*held
	waiting map[events.Pair]*Waiting
	changed []*held // since the last cut
}

// held is a line of suspense.
type held struct {
	line    settlement.Suspense
	changed bool
	counted uint64 // of its events, in suspense.waiting
}

// Waiting is what waits for a price of one pair, as of the last cut.
type Waiting struct {
	Pair   events.Pair
	Lines  int    // of suspense
	Events uint64 // events in those lines
}

// heldKey returns a line of suspense without what changes.
func heldKey(l settlement.Suspense) settlement.Suspense {
	l.Quantity, l.Events = money.Quantity{}, 0
	return l
}

// restore adds a line as it was committed.
func (s *suspense) restore(l settlement.Suspense) {
	h := &held{line: l}
	s.held[heldKey(l)] = h
	s.count(h)
}

// line returns the line of a key, and creates it if there is none.
func (s *suspense) line(key settlement.Suspense) *held {
	h := s.held[key]
	if h == nil {
		h = &held{line: key}
		s.held[key] = h
	}
	return h
}

// add adds one event. It returns false and changes nothing if the quantity does
// not fit.
func (s *suspense) add(h *held, billed money.Quantity) bool {
	sum, err := h.line.Quantity.Add(billed)
	if err != nil {
		return false
	}
	h.line.Quantity = sum
	h.line.Events++
	s.touch(h)
	return true
}

// release empties a line that is being charged.
func (s *suspense) release(h *held) {
	h.line.Quantity, h.line.Events = money.Quantity{}, 0
	s.touch(h)
}

func (s *suspense) touch(h *held) {
	if !h.changed {
		h.changed = true
		s.changed = append(s.changed, h)
	}
}

// of returns the lines that a release names. They ascend by book and origin
// first, because these identify the entry, and then by the rest of the key.
func (s *suspense) of(d events.SuspenseReleased) []*held {
	var list []*held
	for _, k := range slices.SortedFunc(maps.Keys(s.held), func(a, b settlement.Suspense) int {
		return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Period), string(b.Period)), compareHeld(&a, &b))
	}) {
		if h := s.held[k]; k.Pair == d.Pair && (d.Book == "" || k.Book == d.Book) && h.line.Events > 0 {
			list = append(list, h)
		}
	}
	return list
}

// cut returns the lines that changed since the last cut, ascending, and forgets
// those that are empty.
func (s *suspense) cut() (list []settlement.Suspense) {
	slices.SortFunc(s.changed, func(a, b *held) int { return compareHeld(&a.line, &b.line) })
	for _, h := range s.changed {
		h.changed = false
		s.count(h)
		list = append(list, h.line)
		if h.line.Events == 0 {
			delete(s.held, heldKey(h.line))
		}
	}
	s.changed = nil
	return list
}

// count brings the sums of what waits up to date with one line.
func (s *suspense) count(h *held) {
	w := s.waiting[h.line.Pair]
	if w == nil {
		w = &Waiting{Pair: h.line.Pair}
		s.waiting[h.line.Pair] = w
	}
	if h.counted == 0 && h.line.Events > 0 {
		w.Lines++
	}
	if h.counted > 0 && h.line.Events == 0 {
		w.Lines--
	}
	w.Events += h.line.Events - h.counted // The difference may wrap around; the sum is still right.
	h.counted = h.line.Events
}

func compareHeld(a, b *settlement.Suspense) int {
	return cmp.Or(strings.Compare(string(a.Book), string(b.Book)), strings.Compare(string(a.Node), string(b.Node)),
		strings.Compare(string(a.Customer), string(b.Customer)), strings.Compare(string(a.Meter), string(b.Meter)),
		strings.Compare(a.Card, b.Card), cmp.Compare(a.Rule, b.Rule),
		strings.Compare(string(a.Pair), string(b.Pair)), strings.Compare(string(a.Period), string(b.Period)))
}
