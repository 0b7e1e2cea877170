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
	at      int // which event of the segment has from

	// Where the last original was found; the next one is likely beside it.
	hint settlement.Original
	near near
}

// near is where in a segment a sequence of a span was found.
type near struct {
	position uint64
	segment  int
	first    uint64 // of the span
	sequence uint64
	ordinal  int
}

// numbered is a sequence of a source in the segment being read.
type numbered struct {
	source   *source
	sequence uint64
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

// accept records that event i of the segment, with this sequence, was accepted.
// A sequence that was refused before in the same segment begins a range, whose
// first event is known by its ordinal: see [settlement.Original].
func (s *State) accept(src *source, sequence uint64, i int) {
	src.set.Add(sequence)
	if src.segment == s.segments && src.to != ^uint64(0) && sequence == src.to+1 {
		if _, before := s.refusedHere[numbered{src, sequence}]; !before {
			src.to = sequence
			return
		}
	}
	s.settleRange(src)
	src.segment, src.from, src.to, src.at = s.segments, sequence, sequence, i
	s.speaking = append(s.speaking, src)
}

// settleRange ends the range of the segment being read.
func (s *State) settleRange(src *source) {
	if src.segment != s.segments {
		return
	}
	o := settlement.Original{Source: src.key, Span: settlement.Span{First: src.from, Last: src.to}, Position: s.position, Segment: s.ordinal, Ordinal: src.at}
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
	j := src.find(original, at, sequence)
	if j < 0 {
		return false, fmt.Errorf("segment %d at position %d does not have sequence %d of %s, which it was accepted from", at.Segment, at.Position, sequence, src.key.Source)
	}
	return original.Fingerprint(j) == c.Fingerprint(i), nil
}

// locate returns where an accepted sequence is.
func (s *State) locate(src *source, sequence uint64) (settlement.Original, error) {
	within := func(o settlement.Span) bool { return o.First <= sequence && sequence <= o.Last }
	if src.segment == s.segments && within(settlement.Span{First: src.from, Last: src.to}) {
		return settlement.Original{Span: settlement.Span{First: src.from, Last: src.to}, Position: s.position, Segment: s.ordinal, Ordinal: src.at}, nil
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

// find returns the event of a segment that an accepted sequence is of, or -1.
//
// The events of a span ascend with their sequences, and none of them but the
// first has anything of its own sequence before it. So the event k sequences
// after a known one is the k-th after it, or further on; and the first found from
// there on is the one. What was found last only shortens the way.
func (src *source) find(c *events.Columns, in settlement.Original, sequence uint64) int {
	n := &src.near
	if n.position != in.Position || n.segment != in.Segment || n.first != in.Span.First || n.sequence > sequence {
		*n = near{in.Position, in.Segment, in.Span.First, in.Span.First, in.Ordinal}
	}
	ahead := sequence - n.sequence
	if ahead >= uint64(c.N) {
		return -1
	}
	for j := n.ordinal + int(ahead); j < c.N; j++ {
		if c.Sequence[j] != sequence {
			continue
		}
		ref := c.Sources[c.Source[j]]
		if ref.Epoch == src.key.Epoch && string(c.Strings[ref.Name]) == src.key.Source {
			n.sequence, n.ordinal = sequence, j
			return j
		}
	}
	return -1
}
