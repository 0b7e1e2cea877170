package ids

import "encoding/binary"

// filterBlocks is the number of blocks of 64 bytes: 32 MiB in all, ten bits an
// identity up to 27 million. Beyond that number, more new identities are looked
// up needlessly, but no answer is ever wrong.
const filterBlocks = 1 << 19

// filter recognises most new identities as new: it is a Bloom filter whose bits
// for one key are in one cache line. Keys are parts of hashes, so their own
// bits select the place. The zero value is empty.
type filter struct{ blocks [][8]uint64 }

const filterBits = 6 // bits set for a key, each named by 9 bits of its second half

func (f *filter) add(key *[16]byte) {
	if f.blocks == nil {
		f.blocks = make([][8]uint64, filterBlocks)
	}
	block := &f.blocks[binary.LittleEndian.Uint64(key[:])%filterBlocks]
	h := binary.LittleEndian.Uint64(key[8:])
	for range filterBits {
		block[h>>6&7] |= 1 << (h & 63)
		h >>= 9
	}
}

// may reports whether the key may have been added; false is certain.
func (f *filter) may(key *[16]byte) bool {
	if f.blocks == nil {
		return false
	}
	block := &f.blocks[binary.LittleEndian.Uint64(key[:])%filterBlocks]
	h := binary.LittleEndian.Uint64(key[8:])
	for range filterBits {
		if block[h>>6&7]&(1<<(h&63)) == 0 {
			return false
		}
		h >>= 9
	}
	return true
}
