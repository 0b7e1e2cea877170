package posting

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// foreigners are the identities of events that are not sequenced. Everything but
// identities belongs to the segment being read and is reused.
type foreigners struct {
	identities Identities

	keys   [][16]byte
	found  []settlement.Identity
	first  map[[16]byte]int // the event that took the identity
	taken  [][16]byte
	places []settlement.Identity

	place settlement.Identity // place of the event whose identity was looked up last
	base  int                 // ordinal of the segment's first event in its message
}

// begin looks up all identities of a segment at once.
func (f *foreigners) begin(c *packed.Columns, position uint64, base int) error {
	f.place.Position, f.base = position, base
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
	if err := f.identities.Seen(f.keys, f.found); err != nil {
		return fmt.Errorf("looking up identities: %w", err)
	}
	return nil
}

func (f *foreigners) repeats(c *packed.Columns, i int) (repeats, same bool) {
	f.place.Ordinal, f.place.Fingerprint = uint32(f.base+i), c.Fingerprint(i)
	// An identity at this place or later was remembered by a run that did not
	// commit.
	if was := f.found[i]; was.Before(f.place.Position, f.place.Ordinal) {
		return true, was.Fingerprint == f.place.Fingerprint
	}
	if j, ok := f.first[f.keys[i]]; ok {
		return true, c.Fingerprint(j) == f.place.Fingerprint
	}
	return false, false
}

func (f *foreigners) accept(i int) {
	f.first[f.keys[i]] = i
	f.taken = append(f.taken, f.keys[i])
	f.places = append(f.places, f.place)
}

// end remembers the identities that the segment took.
func (f *foreigners) end() error {
	if len(f.taken) == 0 {
		return nil
	}
	if err := f.identities.Remember(f.taken, f.places); err != nil {
		return fmt.Errorf("remembering identities: %w", err)
	}
	return nil
}
