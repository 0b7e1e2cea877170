package acceptance

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// broker is where the embedded server keeps its streams.
const broker = "streams/jetstream/$G/streams/"

// record is where one message lies in a block of the embedded server, and its
// parts: what filestore.go of nats-server 2.15 writes.
type record struct {
	file     string
	position uint64
	parts    map[string][2]int // first byte and the one behind, by name
}

// records lists the messages in a stream's blocks.
func records(t *testing.T, dir, stream string) (list []record) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(broker), stream, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("blocks of %s: %v %v", stream, files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const fixed, sum, headed = 22, 8, 1 << 31
		for at := 0; at < len(data); {
			if len(data)-at < fixed+sum {
				t.Fatalf("%s: %d bytes follow the last message", file, len(data)-at)
			}
			length := binary.LittleEndian.Uint32(data[at:])
			end := at + int(length&^headed)
			subject := at + fixed + int(binary.LittleEndian.Uint16(data[at+20:]))
			r := record{file, binary.LittleEndian.Uint64(data[at+4:]), map[string][2]int{
				"length": {at, at + 4}, "position": {at + 4, at + 12}, "time": {at + 12, at + 20}, "subject length": {at + 20, at + 22},
				"subject": {at + fixed, subject}, "checksum": {end - sum, end},
			}}
			if length&headed != 0 {
				body := subject + 4 + int(binary.LittleEndian.Uint32(data[subject:]))
				r.parts["header length"], r.parts["header"] = [2]int{subject, subject + 4}, [2]int{subject + 4, body}
				subject = body
			}
			r.parts["data"] = [2]int{subject, end - sum}
			list = append(list, r)
			at = end
		}
	}
	return list
}

// "a bit flipped in any JetStream block": in every part of messages at the
// beginning, in the middle and at the end of every stream that is kept, with the
// server's index and without it. log fsck names the stream and the position.
func TestABitOfAnyBlockIsNamed(t *testing.T) {
	t.Parallel()
	whole := lived(t)
	n := 0
	for i, stream := range []string{"USAGE-0-0", "CONTROL", "REGISTER", "LEDGER", "PAYOUT"} {
		list := records(t, whole, stream)
		var parts []string
		for part := range list[0].parts {
			parts = append(parts, part)
		}
		slices.Sort(parts)
		for _, part := range parts {
			n++
			at := []int{0, len(list) / 2, len(list) - 1}[(n+i)%3]
			n, r := n, list[at]
			t.Run(fmt.Sprintf("%s, %s of message %d of %d", stream, part, at+1, len(list)), func(t *testing.T) {
				t.Parallel()
				dir := copied(t, whole)
				file := filepath.Join(dir, strings.TrimPrefix(r.file, whole))
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				where := r.parts[part]
				data[where[0]+n%(where[1]-where[0])] ^= 1 << (n % 8)
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				if n%2 == 0 {
					remove(t, dir, broker+stream+"/msgs/index.db")
				}
				ok, streams := fsck(t, dir)
				named := false
				for _, e := range streams {
					for _, d := range e.Differences {
						if e.Stream != stream || d.Side != "stream" {
							t.Errorf("%s is blamed: %+v", e.Stream, d)
						}
						named = named || d.First <= r.position && r.position <= d.Last
						t.Log(e.Stream, d)
					}
				}
				if ok || !named {
					t.Fatalf("position %d is not named: %+v", r.position, streams)
				}
				if ok, streams := fsck(t, dir, "--restore", "--as", "auditor"); !ok {
					t.Errorf("restored: %+v", streams)
				}
			})
		}
	}
}
