package ids

import "encoding/binary"

const (
	// wholeBlocks is the number of blocks of 64 bytes: 32 MiB in all, ten bits an
	// identity up to 27 million. With more, more identities that are new are looked
	// up for nothing; no answer is ever wrong.
	wholeBlocks = 1 << 19
	// A filter begins with firstBlocks, 256 KiB, so that a small index is cheap to
	// open. It has wholeBlocks after firstMost identities. These set bits in
	// wholeBlocks / firstBlocks blocks each then: two identities a block, of the 51
	// that a block has with 27 million.
	firstBlocks = 1 << 12
	firstMost   = 2 * firstBlocks
)

// filter says of most identities that are new that they are: a Bloom filter
// whose bits for one key are in one cache line. Keys are the ends of hashes
// already, so their own bits say where. The zero value is empty.
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

// grow makes room for one more key. Which key set a bit is unknown, so each block
// is copied to all blocks that its keys may have among more.
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
