package dedup

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Fails when insert forgets the right neighbour (the spans then touch and are not
// canonical), when it does not record what it removed (the copy keeps a span that
// no longer exists), and when Has checks only the last span.
func FuzzSetIsExactCanonicalAndTraceable(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3, 0, 9, 0, 7, 0, 8, 0, 0})
	f.Add([]byte{0, 9, 0, 7, 0, 5, 0, 6, 0, 8, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Set
		added := map[uint64]bool{}
		var copied []settlement.Span
		for i := 0; i+1 < len(data) && i < 400; i += 2 {
			sequence := uint64(binary.BigEndian.Uint16(data[i:]) & 0x1ff)
			if data[i] == 255 {
				sequence = ^uint64(data[i+1])
			}
			if s.Has(sequence) != added[sequence] {
				t.Fatalf("Has(%d) = %v", sequence, !added[sequence])
			}
			s.Add(sequence)
			added[sequence] = true
			if data[i+1]%3 == 0 {
				copied = apply(copied, &s)
			}
		}
		copied = apply(copied, &s)
		if !slices.Equal(copied, s.Spans()) {
			t.Fatalf("changes give %v, the set is %v", copied, s.Spans())
		}
		count := uint64(0)
		for i, span := range s.Spans() {
			if i > 0 && span.First <= s.Spans()[i-1].Last+1 {
				t.Fatalf("spans %v and %v touch", s.Spans()[i-1], span)
			}
			count += span.Last - span.First + 1
		}
		if count != uint64(len(added)) {
			t.Fatalf("%d sequences in spans, %d added", count, len(added))
		}
		for sequence := range added {
			if !s.Has(sequence) {
				t.Fatalf("%d is lost", sequence)
			}
		}
	})
}

func apply(spans []settlement.Span, s *Set) []settlement.Span {
	put, remove := s.Changes()
	byFirst := map[uint64]settlement.Span{}
	for _, span := range spans {
		byFirst[span.First] = span
	}
	for _, first := range remove {
		delete(byFirst, first)
	}
	for _, span := range put {
		byFirst[span.First] = span
	}
	var out []settlement.Span
	for _, span := range byFirst {
		out = append(out, span)
	}
	slices.SortFunc(out, func(a, b settlement.Span) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	return out
}

func TestGapsAreWhatLiesBetween(t *testing.T) {
	var s Set
	for _, n := range []uint64{1, 2, 3, 7, 8, 12} {
		s.Add(n)
	}
	want := []settlement.Span{{First: 4, Last: 6}, {First: 9, Last: 11}}
	if got := Gaps(s.Spans(), 10); !slices.Equal(got, want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
	if got := Gaps(s.Spans(), 1); len(got) != 1 {
		t.Errorf("%d gaps, limit 1", len(got))
	}
}

func BenchmarkAppend(b *testing.B) {
	var s Set
	for i := range uint64(b.N) {
		if !s.Has(i) {
			s.Add(i)
		}
	}
}
