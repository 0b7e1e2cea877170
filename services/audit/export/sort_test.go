package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Records are ascending by key, and equal keys keep their order, however much is
// on disk and however often runs are merged. Fails when runs are merged without
// regard to their order.
func TestSortingIsStableInMemoryAndOnDisk(t *testing.T) {
	for _, test := range []struct{ records, most int }{{0, 0}, {1, 0}, {1000, 0}, {1000, 4096}, {20_000, 4096}, {2_000, 100}} {
		t.Run(fmt.Sprintf("%d records, %d bytes in memory", test.records, test.most), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(test.records)))
			s := sorter{most: test.most}
			defer s.close()
			type pair struct{ key, value []byte }
			var want []pair
			for i := range test.records {
				key := fmt.Appendf(nil, "%x", random.IntN(500))
				value := binary.BigEndian.AppendUint64(nil, uint64(i))
				want = append(want, pair{key, value})
				if err := s.add(key, value); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortStableFunc(want, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
			i := 0
			err := s.each(func(key, value []byte) error {
				if !bytes.Equal(key, want[i].key) || !bytes.Equal(value, want[i].value) {
					return fmt.Errorf("record %d is %s %x, not %s %x", i, key, value, want[i].key, want[i].value)
				}
				i++
				return nil
			})
			if err != nil || i != len(want) {
				t.Errorf("%d of %d: %v", i, len(want), err)
			}
		})
	}
}
