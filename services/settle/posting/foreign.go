package posting

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// foreigners is what a segment of events that are not sequenced needs, reused.
type foreigners struct {
	keys   [][16]byte
	found  []settlement.Identity
	first  map[[16]byte]int // of this segment: the event that took the identity
	taken  [][16]byte
	places []settlement.Identity
}

func (s *State) foreign(d *settlement.Decoded, b *book) error {
	c := d.Columns
	f := &s.open.foreigners
	f.keys, f.taken, f.places = f.keys[:0], f.taken[:0], f.places[:0]
	clear(f.first)
	for i := range c.N {
		f.keys = append(f.keys, c.IdentityKey(i))
	}
	if cap(f.found) < c.N {
		f.found = make([]settlement.Identity, c.N)
	}
	f.found = f.found[:c.N]
	clear(f.found)
	if err := s.identities.Seen(f.keys, f.found); err != nil {
		return fmt.Errorf("looking up identities: %w", err)
	}
	window := b.Window(d.Received, d.ReceivedFromEvent)
	amends := amending{c.Amends}
	base := s.open.runs.events // ordinal of the segment's first event in its message
	for i := range c.N {
		place := settlement.Identity{Position: s.position, Ordinal: uint32(base + i), Fingerprint: c.Fingerprint(i)}
		if was := f.found[i]; was.Before(place.Position, place.Ordinal) {
			s.again(c, i, b, was.Fingerprint == place.Fingerprint)
			continue
		}
		if j, ok := f.first[f.keys[i]]; ok {
			s.again(c, i, b, c.Fingerprint(j) == place.Fingerprint)
			continue
		}
		outcome, reason := s.event(c, i, b, window, amends.has(i))
		s.open.runs.add(1, outcome, reason)
		if outcome == events.Refused {
			s.refuse(c, i, b, reason)
			continue
		}
		f.first[f.keys[i]] = i
		f.taken = append(f.taken, f.keys[i])
		f.places = append(f.places, place)
	}
	if len(f.taken) == 0 {
		return nil
	}
	if err := s.identities.Remember(f.taken, f.places); err != nil {
		return fmt.Errorf("remembering identities: %w", err)
	}
	return nil
}
