package posting

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/dedup"
)

// maxSources is how many sources are kept in memory. Beyond it, sources without
// uncommitted events are dropped, and read again with their next event.
const maxSources = 1 << 16

// sequences are the identities of events of sequenced sources.
//
// Invariant: of every accepted sequence it is known where its event is, in memory
// until its cut is committed and from originals afterwards.
type sequences struct {
	originals Originals
	sources   map[settlement.Source]*source

	// Of the segment being read.
	position uint64 // of its message
	segment  int    // its ordinal in the message
	segments uint64 // number of segments read so far; identifies the one being read
	byIndex  []*source
	speaking []*source // sources that have a range in it
	refused  map[numbered]struct{}

	accepted []settlement.Original          // since the last cut
	changed  map[settlement.Source]*source  // sources whose sets changed since the last cut
	recent   map[settlement.Source]struct{} // sources with events since the last commit
}

// source is a sequenced source in memory.
type source struct {
	key    settlement.Source
	set    dedup.Set
	recent []settlement.Original // since the last commit, ascending by position

	// Of the segment being read: the range that the next sequence may extend.
	segment uint64 // number of that segment, see sequences.segments
	from    uint64
	to      uint64
	at      int // index of the event that has the sequence from

	// Where the last original was found; the next one is likely to be near it.
	hint settlement.Original
	near near
}

// near records where in a segment a sequence of a span was found.
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

func newSequences(originals Originals) sequences {
	return sequences{
		originals: originals, sources: make(map[settlement.Source]*source), refused: make(map[numbered]struct{}),
		changed: make(map[settlement.Source]*source), recent: make(map[settlement.Source]struct{}),
	}
}

func (s *sequences) begin(c *packed.Columns, position uint64, segment int) {
	s.position, s.segment = position, segment
	s.segments++
	if cap(s.byIndex) < len(c.Sources) {
		s.byIndex = make([]*source, len(c.Sources))
	}
	s.byIndex = s.byIndex[:len(c.Sources)]
	clear(s.byIndex)
	s.speaking = s.speaking[:0]
	if len(s.refused) > 0 {
		s.refused = make(map[numbered]struct{})
	}
}

// resolve looks a source up when it first occurs in a segment. A source that is
// not in memory is read from the committed state.
func (s *sequences) resolve(c *packed.Columns, at uint32) (*source, error) {
	ref := c.Sources[at]
	key := settlement.Source{Provider: c.Provider, Source: string(c.Strings[ref.Name]), Epoch: ref.Epoch}
	src := s.sources[key]
	if src == nil {
		spans, err := s.originals.Spans(key)
		if err != nil {
			return nil, fmt.Errorf("reading the sequences of %s: %w", key.Source, err)
		}
		src = &source{key: key, set: dedup.From(spans)}
		s.sources[key] = src
	}
	s.byIndex[at] = src
	return src, nil
}

// repeats reports whether the sequence of event i was accepted before, and whether
// the content is the same.
func (s *sequences) repeats(c *packed.Columns, i int) (repeats, same bool, err error) {
	src := s.byIndex[c.Source[i]]
	if src == nil {
		if src, err = s.resolve(c, c.Source[i]); err != nil {
			return false, false, err
		}
	}
	if !src.set.Has(c.Sequence[i]) {
		return false, false, nil
	}
	same, err = s.compare(src, c, i)
	return true, same, err
}

// refuse notes that event i was refused.
func (s *sequences) refuse(c *packed.Columns, i int) {
	s.refused[numbered{s.byIndex[c.Source[i]], c.Sequence[i]}] = struct{}{}
}

// accept records that event i of the segment was accepted. A sequence that was
// refused before in the same segment begins a range, whose first event is known by
// its ordinal: see [settlement.Original].
func (s *sequences) accept(c *packed.Columns, i int) {
	src, sequence := s.byIndex[c.Source[i]], c.Sequence[i]
	src.set.Add(sequence)
	if src.segment == s.segments && src.to != ^uint64(0) && sequence == src.to+1 {
		if _, before := s.refused[numbered{src, sequence}]; !before {
			src.to = sequence
			return
		}
	}
	s.endRange(src)
	src.segment, src.from, src.to, src.at = s.segments, sequence, sequence, i
	s.speaking = append(s.speaking, src)
}

// end ends the segment.
func (s *sequences) end() {
	for _, src := range s.speaking {
		s.endRange(src)
	}
}

// endRange ends a source's range in the segment being read, if it has one.
func (s *sequences) endRange(src *source) {
	if src.segment != s.segments {
		return
	}
	o := settlement.Original{Source: src.key, Span: settlement.Span{First: src.from, Last: src.to}, Position: s.position, Segment: s.segment, Ordinal: src.at}
	src.recent = append(src.recent, o)
	src.segment = 0
	s.accepted = append(s.accepted, o)
	s.changed[src.key] = src
	s.recent[src.key] = struct{}{}
}

// cut returns what was accepted since the last cut, and how the sets of the
// sources changed, ascending.
func (s *sequences) cut() (accepted []settlement.Original, progress []settlement.Progress) {
	for _, key := range slices.SortedFunc(maps.Keys(s.changed), compareSources) {
		put, remove := s.changed[key].set.Changes()
		progress = append(progress, settlement.Progress{Source: key, Put: put, Remove: remove})
	}
	accepted = s.accepted
	s.accepted, s.changed = nil, make(map[settlement.Source]*source)
	return accepted, progress
}

// committed drops what was kept until the cuts up to a position are committed.
func (s *sequences) committed(position uint64) {
	for _, key := range slices.SortedFunc(maps.Keys(s.recent), compareSources) {
		src := s.sources[key]
		n := 0
		for n < len(src.recent) && src.recent[n].Position <= position {
			n++
		}
		if src.recent = src.recent[n:]; len(src.recent) == 0 {
			src.recent = nil
			delete(s.recent, key)
		}
	}
	if len(s.sources) > maxSources {
		maps.DeleteFunc(s.sources, func(_ settlement.Source, src *source) bool { return src.recent == nil })
	}
}

// compare tells a duplicate from a conflict: event i of c has a sequence that was
// accepted before.
func (s *sequences) compare(src *source, c *packed.Columns, i int) (same bool, err error) {
	sequence := c.Sequence[i]
	at, err := s.locate(src, sequence)
	if err != nil {
		return false, err
	}
	original := c
	if at.Position != s.position || at.Segment != s.segment {
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
func (s *sequences) locate(src *source, sequence uint64) (settlement.Original, error) {
	within := func(o settlement.Span) bool { return o.First <= sequence && sequence <= o.Last }
	if src.segment == s.segments && within(settlement.Span{First: src.from, Last: src.to}) {
		return settlement.Original{Span: settlement.Span{First: src.from, Last: src.to}, Position: s.position, Segment: s.segment, Ordinal: src.at}, nil
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

// find returns the index of the event of a segment from which a sequence was
// accepted, or -1.
//
// The events of a span ascend with their sequences, and only before the first
// of them can the segment have another event of the same sequence. So the event
// that is k sequences after a known one is the k-th event after it or a later
// one, and the first that is found from there on is the right one. The last
// result only shortens the search.
func (src *source) find(c *packed.Columns, in settlement.Original, sequence uint64) int {
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
