package cloudevents

import (
	"bytes"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// place says which field a value of a learned layout belongs to. Values of any
// other place are part of the layout itself and must be the same.
type place uint8

const (
	placeNone place = iota
	placeID
	placeSource
	placeSequence
	placeEpoch
	placeSubject
	placeTime
	placeNode
	placeCustomer
	placeMeter
	placeQuantity
	placeStart
	placeEnd
	placeAttribute
	placeIgnored
	placeTrace
	placeNumber place = 0x80 // combined with one of the above: a number rather than a text
)

const (
	maxLayouts = 4
	maxLearned = 4 << 10 // bytes of an event that is worth learning
	maxVain    = 64      // number of events learned without a match, after which learning stops for this submission
)

// layouts are what a [Parser] has learned: the bytes between the values of some
// accepted events. An event that has the same bytes between its values, and
// plain values, needs no parsing. Everything that does not match exactly is
// left to the general parser, and only the general parser refuses, so both
// agree by construction.
type layouts struct {
	places []spot // values of the event that the general parser reads
	order  []int  // index of each attribute, as written, in ascending order
	known  [maxLayouts]layout
	used   int // of known
	last   int // index of the layout that matched last
	next   int // index of the next layout to replace
	vain   int // number learned since the last match
}

// spot is where a value begins and ends, without its quotes.
type spot struct {
	place    place
	from, to int

	// Used only in a layout.
	low      byte // the smallest byte of a plain value
	number   bool // a number rather than a text
	constant bool // every event so far had this value
}

// layout is one learned event.
type layout struct {
	event     []byte // its own copy
	spots     []spot
	order     []int
	names     []packed.RawAttribute // ascending; only names are set, and slice event
	sequenced bool
	byTime    bool // the end is the event's time
	started   bool // there is a start
	bySubject bool // the customer is the subject
}

// begin forgets the last event.
func (l *layouts) begin() { l.places, l.order = l.places[:0], l.order[:0] }

func (l *layouts) note(p place, from, to int) {
	if p != placeNone {
		l.places = append(l.places, spot{place: p, from: from, to: to})
	}
}

func (l *layouts) insertAttribute(order int) {
	for i, at := range l.order {
		if at >= order {
			l.order[i] = at + 1
		}
	}
	l.order = append(l.order, order)
}

// learn remembers the event that the general parser has just read from start
// on.
func (l *layouts) learn(p *Parser, start int) {
	if p.at-start > maxLearned || l.vain >= maxVain || len(p.event.Replaces)+len(p.event.Retracts) > 0 || p.seen&(1<<memberEncoded) != 0 {
		return
	}
	l.vain++
	at := l.next
	l.next = (l.next + 1) % maxLayouts
	l.used = max(l.used, at+1)
	l.last = at
	k := &l.known[at]
	k.event = append(k.event[:0], p.data[start:p.at]...)
	k.spots = k.spots[:0]
	for _, s := range l.places {
		// The bytes of a value with escapes are not its text.
		value := p.data[s.from:s.to]
		constant := s.place == placeSource || s.place == placeEpoch || s.place == placeMeter || s.place == placeAttribute
		constant = constant && chars.IsPlain(value, '!') && bytes.IndexByte(value, '\\') < 0
		low := byte(' ')
		if s.place >= placeNode && s.place <= placeMeter || s.place == placeSubject && p.seenData&(1<<dataCustomer) == 0 {
			low = '!'
		}
		k.spots = append(k.spots, spot{s.place &^ placeNumber, s.from - start, s.to - start, low, s.place&placeNumber != 0, constant})
	}
	k.order = append(k.order[:0], l.order...)
	k.names = k.names[:0]
	for _, a := range p.event.Attributes {
		k.names = append(k.names, packed.RawAttribute{Name: bytes.Clone(a.Name)})
	}
	k.sequenced = p.event.Sequenced
	k.byTime = p.seenData&(1<<dataEnd) == 0
	k.started = p.seenData&(1<<dataStart) != 0
	k.bySubject = p.seenData&(1<<dataCustomer) == 0
}

// match reads the event at this place by a learned layout. If none matches it
// returns false, and the event must be read by the general parser.
func (l *layouts) match(p *Parser) bool {
	start := p.at
	if l.used == 0 {
		return false
	}
	if l.known[l.last].match(p) {
		l.vain = 0
		return true
	}
	for i := range l.used {
		p.at = start
		if i != l.last && l.known[i].match(p) {
			l.last, l.vain = i, 0
			return true
		}
	}
	return false
}

func (k *layout) match(p *Parser) bool {
	u := &p.event
	attributes := u.Attributes
	if cap(attributes) < len(k.names) {
		attributes = make([]packed.RawAttribute, len(k.names), events.MaxAttributes)
	}
	attributes = attributes[:len(k.names)]
	*u = packed.RawUsage{Attributes: attributes}
	if k.sequenced {
		u.Sequenced = true
	}
	data, at := p.data, p.at
	from, attribute := 0, 0 // Everything before from in the layout has matched.
	for i := range k.spots {
		s := &k.spots[i]
		n := s.from - from
		if len(data)-at < n || string(data[at:at+n]) != string(k.event[from:s.from]) {
			return false
		}
		at += n
		from = s.to
		n = s.length(k, data[at:])
		if n < 0 {
			return false
		}
		value := data[at : at+n : at+n]
		at += n
		if s.place == placeAttribute {
			order := k.order[attribute]
			attributes[order] = packed.RawAttribute{Name: k.names[order].Name, Value: value}
			attribute++
			if n > events.MaxText {
				return false
			}
		} else if !k.take(p, s.place, value) {
			return false
		}
	}
	tail := k.event[from:]
	if len(data)-at < len(tail) || string(data[at:at+len(tail)]) != string(tail) {
		return false
	}
	p.at = at + len(tail)
	if k.byTime {
		u.End = p.time
	} else {
		u.End = p.end
	}
	u.Start = u.End
	if k.started {
		u.Start = p.start
	}
	return u.Start <= u.End
}

// length returns how many bytes at the start of rest are this spot's value, or
// -1 if the value is not plain enough for a layout.
func (s *spot) length(k *layout, rest []byte) int {
	if s.constant {
		// A value that was constant so far is compared together with the quote
		// after it.
		if n := s.to - s.from; len(rest) > n && string(rest[:n+1]) == string(k.event[s.from:s.to+1]) {
			return n
		}
		s.constant = false
	}
	if !s.number {
		return plainEnd(rest, s.low)
	}
	n := 0
	for n < len(rest) && (rest[n]-'0' <= 9 || rest[n] == '.') {
		n++
	}
	// JSON has no leading zeros, though a text may.
	if n == 0 || n > 1 && rest[0] == '0' && rest[1] != '.' {
		return -1
	}
	return n
}

// take stores one value in its field.
func (k *layout) take(p *Parser, where place, value []byte) (ok bool) {
	u := &p.event
	switch where {
	case placeID:
		u.ID = value
		return uint(len(value)-1) < packed.MaxID
	case placeSource:
		u.Source = value
		return uint(len(value)-1) < packed.MaxSource
	case placeNode:
		u.Node = value
		return uint(len(value)-1) < events.MaxName
	case placeCustomer:
		u.Customer = value
		return uint(len(value)-1) < events.MaxName
	case placeMeter:
		u.Meter = value
		return uint(len(value)-1) < events.MaxName
	case placeSubject:
		if k.bySubject {
			u.Customer = value
			return uint(len(value)-1) < events.MaxName
		}
		return len(value) <= packed.MaxSource
	case placeSequence:
		u.Sequence, ok = parseInteger(value)
	case placeEpoch:
		u.Epoch, ok = parseInteger(value)
	case placeQuantity:
		u.QuantityLow, u.Scale, ok = parseDecimal(value)
	case placeTime:
		p.time, ok = p.clock.Parse(value)
	case placeStart:
		p.start, ok = p.clock.Parse(value)
	case placeEnd:
		p.end, ok = p.clock.Parse(value)
	case placeIgnored:
		return len(value) <= maxIgnored
	case placeTrace:
		p.trace(value)
		return len(value) <= maxIgnored
	}
	return ok
}
