// Package dedup keeps which sequences of a source were accepted, without a time
// window.
//
// The method is interval sets: disjoint spans that do not touch, in ascending
// order. A source that numbers without gaps is one span however long it runs, so
// memory grows with the gaps and not with the events.
//
// # Invariants
//
//   - Exact: [Set.Has] is true for the sequences given to [Set.Add] and no other.
//   - Canonical: equal sets have equal spans, in whatever order they were added.
//   - Traceable: applying [Set.Changes] to a copy of the spans as they were at
//     the previous call gives the present spans.
package dedup

import (
	"math"
	"slices"
	"sort"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Set is the accepted sequences of one source. The zero value is empty.
type Set struct {
	spans   []settlement.Span
	touched []uint64 // firsts of spans made or changed since the last Changes; may repeat, may no longer exist
	removed []uint64 // firsts of spans that were merged into others
}

// From makes a set from spans that [Set.Changes] once returned.
func From(spans []settlement.Span) Set { return Set{spans: spans} }

// Has reports whether the sequence was added.
func (s *Set) Has(sequence uint64) bool {
	n := len(s.spans)
	if n == 0 || sequence > s.spans[n-1].Last {
		return false // The usual case, because sources count upwards.
	}
	if sequence >= s.spans[n-1].First {
		return true
	}
	i := s.at(sequence)
	return i >= 0 && sequence <= s.spans[i].Last
}

// at returns the last span that begins at or before the sequence, or -1.
func (s *Set) at(sequence uint64) int {
	return sort.Search(len(s.spans), func(i int) bool { return s.spans[i].First > sequence }) - 1
}

// Add adds one sequence; adding one again changes nothing.
func (s *Set) Add(sequence uint64) {
	if n := len(s.spans); n > 0 {
		if last := &s.spans[n-1]; sequence > last.Last {
			if sequence == last.Last+1 {
				last.Last = sequence
			} else {
				s.spans = append(s.spans, settlement.Span{First: sequence, Last: sequence})
			}
			s.touch(s.spans[len(s.spans)-1].First)
			return
		}
	}
	s.insert(sequence)
}

func (s *Set) touch(first uint64) {
	if n := len(s.touched); n == 0 || s.touched[n-1] != first {
		s.touched = append(s.touched, first)
	}
}

// insert adds a sequence that is before the end of the last span.
func (s *Set) insert(sequence uint64) {
	i := s.at(sequence)
	if i >= 0 && sequence <= s.spans[i].Last {
		return
	}
	left := i >= 0 && s.spans[i].Last+1 == sequence
	// Not at the largest number, where sequence + 1 would wrap to 0.
	right := i+1 < len(s.spans) && sequence < math.MaxUint64 && s.spans[i+1].First == sequence+1
	switch {
	case left && right:
		s.spans[i].Last = s.spans[i+1].Last
		s.removed = append(s.removed, s.spans[i+1].First)
		s.spans = slices.Delete(s.spans, i+1, i+2)
		s.touch(s.spans[i].First)
	case left:
		s.spans[i].Last = sequence
		s.touch(s.spans[i].First)
	case right:
		s.removed = append(s.removed, s.spans[i+1].First)
		s.spans[i+1].First = sequence
		s.touch(sequence)
	default:
		s.spans = slices.Insert(s.spans, i+1, settlement.Span{First: sequence, Last: sequence})
		s.touch(sequence)
	}
}

// Changed reports whether [Set.Changes] has something to return.
func (s *Set) Changed() bool { return len(s.touched) > 0 }

// Changes returns what changed since the last call: the spans to put, each
// replacing the one with the same First, and the firsts of the spans to remove,
// both ascending. A span is never in both.
func (s *Set) Changes() (put []settlement.Span, remove []uint64) {
	slices.Sort(s.touched)
	slices.Sort(s.removed)
	for _, first := range slices.Compact(s.touched) {
		if i := s.at(first); i >= 0 && s.spans[i].First == first {
			put = append(put, s.spans[i])
		}
	}
	for _, first := range slices.Compact(s.removed) {
		if i := s.at(first); i < 0 || s.spans[i].First != first {
			remove = append(remove, first)
		}
	}
	s.touched, s.removed = s.touched[:0], s.removed[:0]
	return put, remove
}

// Spans returns the spans, ascending. The slice belongs to the set and must not
// be changed.
func (s *Set) Spans() []settlement.Span { return s.spans }

// Gaps returns at most limit of the gaps between spans, ascending. What comes
// before the first span or after the last is not a gap.
func Gaps(spans []settlement.Span, limit int) []settlement.Span {
	var gaps []settlement.Span
	for i := 1; i < len(spans) && len(gaps) < limit; i++ {
		gaps = append(gaps, settlement.Span{First: spans[i-1].Last + 1, Last: spans[i].First - 1})
	}
	return gaps
}
