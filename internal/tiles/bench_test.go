package tiles

import "testing"

// BenchmarkCommit does what a keeper does four times a second for each stream, on
// the disk of the temporary folder: it writes, syncs and signs a few leaves.
func BenchmarkCommit(b *testing.B) {
	key := testKey(b)
	l, err := Open(b.TempDir(), key.Origin("control"), key)
	if err != nil {
		b.Fatal(err)
	}
	next := 0
	for b.Loop() {
		if err := l.Append(leavesFrom(next, next+4)); err != nil {
			b.Fatal(err)
		}
		if err := l.Commit(); err != nil {
			b.Fatal(err)
		}
		next += 4
	}
}

// BenchmarkAppend measures one leaf while a log catches up, including its share
// of the synced files.
func BenchmarkAppend(b *testing.B) {
	key := testKey(b)
	l, err := Open(b.TempDir(), key.Origin("control"), key)
	if err != nil {
		b.Fatal(err)
	}
	leaves := leavesFrom(0, 1024)
	b.ResetTimer()
	for range b.N {
		if err := l.Append(leaves[l.Size()%1024:][:1]); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Commit(); err != nil {
		b.Fatal(err)
	}
}
