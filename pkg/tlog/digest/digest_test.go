package digest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// padded returns count messages of n bytes, padded, at an odd address, and their
// digests by crypto/sha256.
func padded(random *rand.ChaCha8, count, n int) (messages []byte, want [][Size]byte) {
	stride := Blocks(n) * BlockSize
	messages = make([]byte, count*stride+1)[1:]
	for i := range count {
		m := messages[i*stride:][:stride:stride]
		_, _ = random.Read(m) // The previous content must not matter.
		want = append(want, sha256.Sum256(m[:n]))
		Pad(m, n)
	}
	return messages, want
}

// each runs a test with every set of routines that this processor can run, and
// reports the sets that it cannot run.
func each(t *testing.T, run func(*testing.T, routines)) {
	for name, r := range map[string]routines{
		"standard": {}, "pairs": {pairs: true}, "sixteens": {sixteens: true}, "both": {sixteens: true, pairs: true},
	} {
		t.Run(name, func(t *testing.T) {
			if r.pairs && !here.pairs {
				t.Skip("absent: a processor with SHA instructions")
			}
			if r.sixteens && !here.sixteens {
				t.Skip("absent: a processor with AVX-512")
			}
			run(t, r)
		})
	}
}

// Tests every length up to five blocks, every number of lanes and every
// remainder. Fails when a round, a constant or a word of the schedule is wrong.
func TestSumIsThatOfTheStandardLibrary(t *testing.T) { each(t, sumIsStandard) }

func sumIsStandard(t *testing.T, r routines) {
	random := rand.NewChaCha8([32]byte{1})
	for n := range 5 * BlockSize {
		for _, count := range []int{0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 50} {
			messages, want := padded(random, count, n)
			before := bytes.Clone(messages)
			room := make([][Size]byte, count+1)
			sum(r, room[:count], messages, Blocks(n))
			for i := range want {
				if room[i] != want[i] {
					t.Fatalf("message %d of %d, %d bytes: %x, want %x", i, count, n, room[i], want[i])
				}
			}
			if room[count] != [Size]byte{} || !bytes.Equal(before, messages) {
				t.Fatalf("%d messages of %d bytes: something else was written", count, n)
			}
		}
	}
}

func node(left, right [Size]byte) [Size]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func TestNodesAreThoseOfTheStandardLibrary(t *testing.T) { each(t, nodesAreStandard) }

func nodesAreStandard(t *testing.T, r routines) {
	random := rand.NewChaCha8([32]byte{2})
	for count := range 70 {
		src := make([][Size]byte, 2*count)
		want := make([][Size]byte, count)
		for i := range src {
			_, _ = random.Read(src[i][:])
		}
		for i := range want {
			want[i] = node(src[2*i], src[2*i+1])
		}
		room := make([][Size]byte, count+1)
		nodes(r, room[:count], src)
		if room[count] != [Size]byte{} {
			t.Fatalf("%d nodes: something else was written", count)
		}
		nodes(r, src[:count], src) // The nodes overwrite the digests.
		for i := range want {
			if room[i] != want[i] || src[i] != want[i] {
				t.Fatalf("node %d of %d: %x, in place %x, want %x", i, count, room[i], src[i], want[i])
			}
		}
	}
}

// Only the last byte of a node varies in its second block.
func TestEveryLastByteOfANode(t *testing.T) { each(t, everyLastByte) }

func everyLastByte(t *testing.T, r routines) {
	src := make([][Size]byte, 512)
	for i := range 256 {
		src[2*i+1][Size-1] = byte(i)
	}
	got := make([][Size]byte, 256)
	nodes(r, got, src)
	for i := range got {
		if got[i] != node(src[2*i], src[2*i+1]) {
			t.Fatalf("last byte %d", i)
		}
	}
}

func TestTooFewMessagesPanic(t *testing.T) {
	for name, call := range map[string]func(){
		"messages": func() { Sum(make([][Size]byte, 2), make([]byte, 127), 1) },
		"digests":  func() { Nodes(make([][Size]byte, 2), make([][Size]byte, 3)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("read beyond the end")
				}
			}()
			call()
		})
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("usage"), uint8(3), uint8(1))
	f.Add(bytes.Repeat([]byte{0xff}, 400), uint8(33), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, lanes, offset uint8) {
		count := int(lanes)%40 + 1
		n := len(data) / count
		stride := Blocks(n) * BlockSize
		room := make([]byte, count*stride+int(offset))[offset:]
		var want [][Size]byte
		for i := range count {
			m := data[i*n:][:n]
			want = append(want, sha256.Sum256(m))
			copy(room[i*stride:], m)
			Pad(room[i*stride:][:stride], n)
		}
		got := make([][Size]byte, count)
		Sum(got, room, Blocks(n))
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("message %d of %d, %d bytes", i, count, n)
			}
		}
		half := count / 2
		Nodes(got[:half], got)
		for i := range half {
			if got[i] != node(want[2*i], want[2*i+1]) {
				t.Fatalf("node %d of %d", i, half)
			}
		}
	})
}

func cpu(b *testing.B) int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// BenchmarkDigest reports CPU time per message and per node for each set of
// routines.
func BenchmarkDigest(b *testing.B) {
	const count = 512
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			start := cpu(b)
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/count, "cpu-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
	dst, src := make([][Size]byte, count), make([][Size]byte, 2*count)
	for name, r := range map[string]routines{"standard": {}, "pairs": {pairs: true}, "sixteens": {sixteens: true}} {
		if r.pairs && !here.pairs || r.sixteens && !here.sixteens {
			continue
		}
		for blocks := 1; blocks <= 3; blocks++ {
			messages, _ := padded(rand.NewChaCha8([32]byte{}), count, blocks*BlockSize-9)
			run(fmt.Sprintf("%s/%d-blocks", name, blocks), func() { sum(r, dst, messages, blocks) })
		}
		run(name+"/node", func() { nodes(r, dst, src) })
	}
}
