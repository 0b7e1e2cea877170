package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// spoil flips a bit in the data of one message, in the broker's block or in the
// second copy.
func spoil(t *testing.T, dir, stream string, position uint64, copied bool) {
	t.Helper()
	list := records(t, dir, stream)
	i := slices.IndexFunc(list, func(r record) bool { return r.position == position })
	if i < 0 {
		t.Fatalf("%s has no position %d", stream, position)
	}
	r := list[i]
	block, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	file, data, at := r.file, block, r.parts["data"][0]
	if copied {
		// The same bytes stand in the archive; those of equal messages, as
		// barriers are, in their order.
		file = filepath.Join(dir, "archive", strings.ToLower(stream), "000000000001.arc")
		message := block[at:r.parts["data"][1]]
		if len(message) < 16 {
			t.Fatalf("%s %d is too short to be found", stream, position)
		}
		if data, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if at = bytes.Index(data, message); at < 0 {
			t.Fatalf("%s %d is not in the archive", stream, position)
		}
	}
	data[at+5] ^= 8
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// long is the position of a message of a stream that is long enough for [spoil],
// from the n-th on.
func long(t *testing.T, dir, stream string, n int) uint64 {
	t.Helper()
	for _, r := range records(t, dir, stream)[n:] {
		if r.parts["data"][1]-r.parts["data"][0] >= 16 {
			return r.position
		}
	}
	t.Fatalf("%s has no long message", stream)
	return 0
}

// "log fsck names every missing, altered or rewound position, and --restore
// repairs": several at once, in streams and second copies.
func TestSeveralDamagesAreRestoredAtOnce(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		sides  []string // stream and side, of everything that is named
		lost   string   // what cannot be restored
	}{
		{"every stream", func(t *testing.T, dir string) {
			bit(t, dir, broker+"USAGE-0-0/msgs/1.blk")
			bit(t, dir, broker+"CONTROL/msgs/1.blk")
			remove(t, dir, broker+"REGISTER/msgs")
			halve(t, dir, broker+"LEDGER/msgs/1.blk")
			remove(t, dir, broker+"LEDGER/msgs/index.db")
			bit(t, dir, broker+"PAYOUT/msgs/1.blk")
		}, []string{"CONTROL stream", "LEDGER stream", "PAYOUT stream", "REGISTER stream", "USAGE-0-0 stream"}, ""},
		{"every second copy", func(t *testing.T, dir string) {
			bit(t, dir, "archive/usage-0-0/000000000001.arc")
			halve(t, dir, "archive/control/000000000001.arc")
			remove(t, dir, "archive/register/000000000001.arc")
			remove(t, dir, "archive/ledger")
			halve(t, dir, "archive/payout/000000000001.arc")
		}, []string{"CONTROL archive", "LEDGER archive", "PAYOUT archive", "REGISTER archive", "USAGE-0-0 archive"}, ""},
		{"some streams and other copies", func(t *testing.T, dir string) {
			bit(t, dir, broker+"USAGE-0-0/msgs/1.blk")
			remove(t, dir, "archive/ledger/000000000001.arc")
			bit(t, dir, "archive/control/000000000001.arc")
			remove(t, dir, broker+"REGISTER/msgs")
		}, []string{"CONTROL archive", "LEDGER archive", "REGISTER stream", "USAGE-0-0 stream"}, ""},
		{"a stream and its copy, at other positions", func(t *testing.T, dir string) {
			spoil(t, dir, "CONTROL", long(t, dir, "CONTROL", 3), false)
			spoil(t, dir, "CONTROL", long(t, dir, "CONTROL", 8), true)
			spoil(t, dir, "CONTROL", long(t, dir, "CONTROL", 12), false)
		}, []string{"CONTROL archive", "CONTROL stream"}, ""},
		{"a stream and its copy, at the same position", func(t *testing.T, dir string) {
			p := long(t, dir, "CONTROL", 5)
			spoil(t, dir, "CONTROL", p, true)
			spoil(t, dir, "CONTROL", p, false)
			bit(t, dir, broker+"LEDGER/msgs/1.blk") // which is restored all the same
		}, []string{"CONTROL archive", "CONTROL stream", "LEDGER stream"}, "CONTROL position 6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			test.damage(t, dir)
			ok, streams := fsck(t, dir)
			if sides := blamed(streams); ok || !slices.Equal(sides, test.sides) {
				t.Fatalf("named are %v, not %v: %+v", sides, test.sides, streams)
			}
			c := aliquot(t, "log", "fsck", "--restore", "--as", "auditor", "--data", dir)
			if test.lost != "" {
				if c.code != 1 || !strings.Contains(c.err, test.lost) || !strings.Contains(c.err, "lost") {
					t.Errorf("exit %d, %s%s", c.code, c.out, c.err)
				}
				_, streams = fsck(t, dir)
				if sides := blamed(streams); !slices.Equal(sides, test.sides[:2]) {
					t.Errorf("after restoring named are %v, not %v: %+v", sides, test.sides[:2], streams)
				}
				return
			}
			c.ok(t)
			if ok, streams := fsck(t, dir); !ok {
				t.Fatalf("after restoring: %+v", streams)
			}
			s := up(t, dir)
			s.settled()
			s.clean(true)
			s.stop()
		})
	}
}

// blamed lists stream and side of every difference once, ascending.
func blamed(streams []examination) (sides []string) {
	for _, e := range streams {
		for _, d := range e.Differences {
			sides = append(sides, fmt.Sprintf("%s %s", e.Stream, d.Side))
		}
	}
	slices.Sort(sides)
	return slices.Compact(sides)
}
