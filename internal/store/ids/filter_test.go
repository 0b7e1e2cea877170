package ids

import "testing"

// Fails when the bits that were set before a filter grows are lost, or are in too
// many blocks.
func TestAFilterThatGrowsForgetsNothing(t *testing.T) {
	t.Parallel()
	var f filter
	known := func(n int) bool { k := key(n); return f.may(&k) }
	if known(0) {
		t.Error("an empty filter may have a key")
	}
	const most = 4 * firstMost
	for n := range most {
		k := key(n)
		f.add(&k)
		if n == 0 && len(f.blocks) != firstBlocks || n == firstMost-1 && len(f.blocks) != firstBlocks || n == firstMost && len(f.blocks) != wholeBlocks {
			t.Fatalf("%d blocks with %d identities", len(f.blocks), n+1)
		}
		if n%firstMost == 0 || n > firstMost-3 && n < firstMost+3 {
			for m := range n + 1 {
				if !known(m) {
					t.Fatalf("identity %d is forgotten after %d", m, n+1)
				}
			}
		}
	}
	wrong := 0
	for n := range most {
		if !known(n) {
			t.Fatalf("identity %d is forgotten", n)
		}
		if known(n + 1<<40) {
			wrong++
		}
	}
	if wrong > most/1000 {
		t.Errorf("%d of %d new identities may be known", wrong, most)
	}
}
