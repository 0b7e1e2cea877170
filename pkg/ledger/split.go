package ledger

import "math/bits"

// Split returns r as records of at most limit encoded bytes each, with Part and
// Parts set: only r if it fits. The postings keep their order; an entry that is
// divided becomes one entry in each part, each of them balanced. The periods
// settled are in the last part, so that a reader who sees them has read the
// whole cut. The result depends only on r and limit.
//
// A single posting larger than limit is alone in a part that is too large; with
// names of at most [events.MaxName] bytes this happens only if limit is below
// 2,000.
func Split(r Record, limit int) []Record {
	var parts []Record
	open := Record{Partition: r.Partition, Cut: r.Cut, Control: r.Control, Book: r.Book}
	s := newSizer(&r)
	first := 0 // first posting of the current entry that is in the open part
	for i := range r.Entries {
		entry := &r.Entries[i]
		s.startEntry(entry)
		first = 0
		for j := range entry.Postings {
			size := s.posting(&entry.Postings[j])
			if s.size+size > limit && s.postings > 0 {
				if j > first {
					open.Entries = append(open.Entries, entry.slice(first, j))
				}
				parts = append(parts, open)
				open.Entries = nil
				first = j
				s = newSizer(&r)
				s.startEntry(entry)
				size = s.posting(&entry.Postings[j])
			}
			s.size += size
			s.keep(&entry.Postings[j])
		}
		if len(entry.Postings) > first || len(entry.Postings) == 0 {
			open.Entries = append(open.Entries, entry.slice(first, len(entry.Postings)))
		}
	}
	open.Settled = r.Settled
	parts = append(parts, open)
	for i := range parts {
		parts[i].Part, parts[i].Parts = i, len(parts)
	}
	return parts
}

func (e *Entry) slice(from, to int) Entry {
	part := *e
	part.Postings = e.Postings[from:to:to]
	return part
}

// sizer adds up an upper bound of the encoded size: it assumes the widest
// references and counters, so that it does not depend on what follows.
type sizer struct {
	size     int
	postings int
	seen     map[string]struct{}
}

const (
	widestReference = 3 // bytes; there are fewer than 2²¹ strings in a record
	widestCounter   = 10
	fixed           = 2 + 5*widestCounter + 2*widestCounter
)

func newSizer(r *Record) *sizer {
	s := &sizer{size: fixed, seen: map[string]struct{}{}}
	s.add(string(r.Book))
	for _, p := range r.Settled {
		s.add(string(p))
	}
	return s
}

func (s *sizer) startEntry(e *Entry) {
	s.add(string(e.Kind))
	s.add(string(e.Period))
	s.add(string(e.Origin))
	s.add(e.Ref)
	s.size += widestCounter
}

// add counts a string.
func (s *sizer) add(text string) {
	s.size += s.string(text)
	s.seen[text] = struct{}{}
}

// string returns the size of a reference to text in the open part.
func (s *sizer) string(text string) int {
	if _, ok := s.seen[text]; ok {
		return widestReference
	}
	return widestReference + 2 + len(text)
}

func (s *sizer) posting(p *Posting) int {
	size := uvarintSize(p.Events)
	for _, text := range p.strings() {
		size += s.string(text)
	}
	return size + wideSize(p.Amount.Limbs()) + wideSize(p.Quantity.Limbs())
}

func (s *sizer) keep(p *Posting) {
	s.postings++
	for _, text := range p.strings() {
		s.seen[text] = struct{}{}
	}
}

func (p *Posting) strings() [6]string {
	return [6]string{string(p.Debit), string(p.Credit), string(p.Asset), p.Card, p.Quote, string(p.Meter)}
}

func uvarintSize(n uint64) int { return max(1, (bits.Len64(n)+6)/7) }

func wideSize(hi int64, lo uint64) int {
	if hi == 0 {
		return uvarintSize(lo)
	}
	return (64 + bits.Len64(uint64(hi)) + 6) / 7
}
