package events

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// AppendLeaf appends the bytes of event i, from 0, as a leaf of the tree of its
// batch: what a receipt shows and a verifier hashes. Integers are unsigned
// varints of encoding/binary, in their shortest form, a text is its length and
// its bytes:
//
//	'E' 0x01 text(provider) text(book) text(source)
//	0x01 epoch sequence, or 0x02 text(id)
//	text(node) text(customer) text(meter)
//	quantity: 16 bytes, as money.Quantity.Bytes
//	start end: zigzag varints, nanoseconds since 1970 UTC
//	number of attributes, each text(name) text(value)
//	number of amendments, 0 or 1: 0x01 (replaces) or 0x02 (retracts) text(id)
//
// It allocates nothing where dst has room. Columns must be as Decode leaves
// them.
func (c *Columns) AppendLeaf(dst []byte, book Book, i int) []byte {
	source := c.Sources[c.Source[i]]
	dst = append(dst, leafKind, leafVersion)
	dst = appendLeafText(dst, c.Provider)
	dst = appendLeafText(dst, book)
	dst = appendLeafText(dst, c.Strings[source.Name])
	if c.Sequenced {
		dst = append(dst, leafSequenced)
		dst = binary.AppendUvarint(dst, source.Epoch)
		dst = binary.AppendUvarint(dst, c.Sequence[i])
	} else {
		begin := uint32(0)
		if i > 0 {
			begin = c.IDEnd[i-1]
		}
		dst = append(dst, leafNamed)
		dst = appendLeafText(dst, c.IDBytes[begin:c.IDEnd[i]])
	}
	dst = appendLeafText(dst, c.Strings[c.Node[i]])
	dst = appendLeafText(dst, c.Strings[c.Customer[i]])
	dst = appendLeafText(dst, c.Strings[c.Meter[i]])
	quantity := c.Quantity[i].Bytes()
	dst = append(dst, quantity[:]...)
	dst = binary.AppendVarint(dst, c.Start[i])
	dst = binary.AppendVarint(dst, c.End[i])
	set := c.Sets[c.Set[i]]
	dst = binary.AppendUvarint(dst, uint64(len(set)))
	for _, a := range set {
		dst = appendLeafText(dst, c.Strings[a.Name])
		dst = appendLeafText(dst, c.Strings[a.Value])
	}
	if len(c.Amends) > 0 {
		at, found := slices.BinarySearchFunc(c.Amends, uint32(i), func(a Amendment, i uint32) int { return cmp.Compare(a.Ordinal, i) })
		if found {
			kind := byte(leafReplaces)
			if c.Amends[at].Retracts {
				kind = leafRetracts
			}
			return appendLeafText(append(dst, 1, kind), c.Strings[c.Amends[at].ID])
		}
	}
	return append(dst, 0)
}

const (
	leafKind      = 'E'
	leafVersion   = 1
	leafSequenced = 1
	leafNamed     = 2
	leafReplaces  = 1
	leafRetracts  = 2
)

func appendLeafText[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
