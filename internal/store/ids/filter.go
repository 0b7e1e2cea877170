package ids

import "encoding/binary"

const (
	// wholeBlocks is the number of blocks of 64 bytes: 32 MiB in all, ten bits an
	// identity up to 27 million. Beyond that number, more new identities are looked
	// up needlessly, but no answer is ever wrong.
	wholeBlocks = 1 << 19
	// A filter begins with firstBlocks, 256 KiB, so that a small index is cheap to
	// open. It grows to wholeBlocks after firstMost identities. Each of these then
	// occupies wholeBlocks / firstBlocks blocks: two identities in each block, which
	// has room for 51.
	firstBlocks = 1 << 12
	firstMost   = 2 * firstBlocks
)

// filter recognises most new identities as new: it is a Bloom filter whose bits
// for one key are in one cache line. Keys are parts of hashes, so their own
// bits select the place. The zero value is empty.
type filter struct {
	blocks [][8]uint64 // none, firstBlocks or wholeBlocks of them
	added  int         // while there are firstBlocks
}

const filterBits = 6 // bits set for a key, each named by 9 bits of its second half

func (f *filter) add(key *[16]byte) {
	if len(f.blocks) < wholeBlocks {
		f.grow()
	}
	block := f.block(key)
	h := binary.LittleEndian.Uint64(key[8:])
	for range filterBits {
		block[h>>6&7] |= 1 << (h & 63)
		h >>= 9
	}
}

// block returns the block of a key. The number of blocks is a power of two.
func (f *filter) block(key *[16]byte) *[8]uint64 {
	return &f.blocks[binary.LittleEndian.Uint64(key[:])&uint64(len(f.blocks)-1)]
}

// grow makes room for one more key. Nothing remembers which key has set a bit, so
// each block is copied to every block that its keys may belong to in a larger filter.
func (f *filter) grow() {
	if f.blocks == nil {
		f.blocks = make([][8]uint64, firstBlocks)
	}
	if f.added++; f.added <= firstMost {
		return
	}
	whole := make([][8]uint64, 0, wholeBlocks)
	for len(whole) < wholeBlocks {
		whole = append(whole, f.blocks...)
	}
	f.blocks = whole
}

// may reports whether the key may have been added; false is certain.
func (f *filter) may(key *[16]byte) bool {
	if f.blocks == nil {
		return false
	}
	block := f.block(key)
	h := binary.LittleEndian.Uint64(key[8:])
	for range filterBits {
		if block[h>>6&7]&(1<<(h&63)) == 0 {
			return false
		}
		h >>= 9
	}
	return true
}
