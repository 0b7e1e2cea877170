package posting

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/dedup"
)

// source is a sequenced source in memory.
type source struct {
	key    settlement.Source
	set    dedup.Set
	recent []settlement.Original // since the last commit, ascending by position

	// Of the segment being read: the range that the next sequence may extend.
	segment uint64 // number of that segment, see State.segments
	from    uint64
	to      uint64

	// Where the last original was found; the next one is likely beside it.
	hint settlement.Original
	near int
}

func compareSources(a, b settlement.Source) int {
	if c := strings.Compare(string(a.Provider), string(b.Provider)); c != 0 {
		return c
	}
	if c := strings.Compare(a.Source, b.Source); c != 0 {
		return c
	}
	return cmp.Compare(a.Epoch, b.Epoch)
}

// source returns a source, read from what is committed the first time.
func (s *State) source(key settlement.Source) (*source, error) {
	src := s.sources[key]
	if src == nil {
		key.Source = strings.Clone(key.Source)
		spans, err := s.originals.Spans(key)
		if err != nil {
			return nil, fmt.Errorf("reading the sequences of %s: %w", key.Source, err)
		}
		src = &source{key: key, set: dedup.From(spans)}
		s.sources[key] = src
	}
	return src, nil
}

// accept records that the event with this sequence was accepted here.
func (s *State) accept(src *source, sequence uint64) {
	src.set.Add(sequence)
	if src.segment == s.segments && src.to != ^uint64(0) && sequence == src.to+1 {
		src.to = sequence
		return
	}
	s.settleRange(src)
	src.segment, src.from, src.to = s.segments, sequence, sequence
	s.speaking = append(s.speaking, src)
}

// settleRange ends the range of the segment being read.
func (s *State) settleRange(src *source) {
	if src.segment != s.segments {
		return
	}
	o := settlement.Original{Source: src.key, Span: settlement.Span{First: src.from, Last: src.to}, Position: s.position, Segment: s.ordinal}
	src.recent = append(src.recent, o)
	src.segment = 0
	s.open.originals = append(s.open.originals, o)
	s.open.sources[src.key] = src
	s.open.recent[src.key] = struct{}{}
}

// repeated tells a duplicate from a conflict: event i of c has a sequence that
// was accepted before.
func (s *State) repeated(src *source, c *events.Columns, i int) (same bool, err error) {
	sequence := c.Sequence[i]
	at, err := s.locate(src, sequence)
	if err != nil {
		return false, err
	}
	original := c
	if at.Position != s.position || at.Segment != s.ordinal {
		if original, err = s.originals.Segment(at.Position, at.Segment); err != nil {
			return false, fmt.Errorf("reading segment %d at position %d again: %w", at.Segment, at.Position, err)
		}
	}
	j := find(original, src.key, sequence, src.near)
	if j < 0 {
		return false, fmt.Errorf("segment %d at position %d does not have sequence %d of %s, which it was accepted from", at.Segment, at.Position, sequence, src.key.Source)
	}
	src.near = j + 1
	// What was refused in the same segment before the original has its
	// sequence too, and is then found instead of it: the answer may be
	// conflict for duplicate, which changes no figure.
	return original.Fingerprint(j) == c.Fingerprint(i), nil
}

// locate returns where an accepted sequence is.
func (s *State) locate(src *source, sequence uint64) (settlement.Original, error) {
	within := func(o settlement.Span) bool { return o.First <= sequence && sequence <= o.Last }
	if src.segment == s.segments && within(settlement.Span{First: src.from, Last: src.to}) {
		return settlement.Original{Position: s.position, Segment: s.ordinal}, nil
	}
	if src.hint.Position > 0 && within(src.hint.Span) {
		return src.hint, nil
	}
	for k := len(src.recent) - 1; k >= 0; k-- {
		if within(src.recent[k].Span) {
			src.hint = src.recent[k]
			return src.hint, nil
		}
	}
	at, ok, err := s.originals.Original(src.key, sequence)
	if err != nil {
		return at, fmt.Errorf("looking up sequence %d of %s: %w", sequence, src.key.Source, err)
	}
	if !ok {
		return at, fmt.Errorf("sequence %d of %s was accepted, but nothing says where", sequence, src.key.Source)
	}
	src.hint = at
	return at, nil
}

// find returns the event of a segment with this source and sequence, looking
// from near on and then from the start, or -1.
func find(c *events.Columns, key settlement.Source, sequence uint64, near int) int {
	if near >= c.N {
		near = 0
	}
	for k := range c.N {
		j := near + k
		if j >= c.N {
			j -= c.N
		}
		if c.Sequence[j] != sequence {
			continue
		}
		ref := c.Sources[c.Source[j]]
		if ref.Epoch == key.Epoch && string(c.Strings[ref.Name]) == key.Source {
			return j
		}
	}
	return -1
}
