package packed

import (
	"bytes"
	"hash/maphash"
)

// table numbers distinct byte strings in the order of their first occurrence.
// It uses open addressing over one buffer, and does not allocate once it has
// its final size. The hash has a random seed for each process, so that nobody
// can prepare strings that collide; the numbers do not depend on the seed.
type table struct {
	slots []slot // their number is a power of two; at most half of them are in use
	ends  []uint32
	text  []byte
}

type slot struct {
	hash   uint32
	number uint32 // number plus one; zero means an empty slot
}

var tableSeed = maphash.MakeSeed()

func (t *table) reset() {
	if len(t.slots) == 0 {
		t.slots = make([]slot, 256)
	}
	clear(t.slots)
	t.ends, t.text = t.ends[:0], t.text[:0]
}

// at returns string i.
func (t *table) at(i uint32) []byte {
	from := uint32(0)
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.text[from:t.ends[i]]
}

// intern returns the number of b, which is len(t.ends)-1 if fresh is true.
func (t *table) intern(b []byte) (number uint32, fresh bool) {
	h := maphash.Bytes(tableSeed, b)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.number == 0 {
			*s = slot{uint32(h >> 32), uint32(len(t.ends) + 1)}
			t.text = append(t.text, b...)
			t.ends = append(t.ends, uint32(len(t.text)))
			if 2*len(t.ends) > len(t.slots) {
				t.grow()
			}
			return uint32(len(t.ends) - 1), true
		}
		if s.hash == uint32(h>>32) && bytes.Equal(t.at(s.number-1), b) {
			return s.number - 1, false
		}
	}
}

func (t *table) grow() {
	t.slots = make([]slot, 4*len(t.slots))
	mask := uint64(len(t.slots) - 1)
	for number := range t.ends {
		h := maphash.Bytes(tableSeed, t.at(uint32(number)))
		i := h & mask
		for t.slots[i].number != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = slot{uint32(h >> 32), uint32(number + 1)}
	}
}
