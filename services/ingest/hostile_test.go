package ingest_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// raw is an event in which one member has another JSON value.
func raw(id, member, value string) string {
	members := map[string]string{
		"specversion": `"1.0"`, "type": `"aliquot.usage"`, "source": `"meter-1"`, "id": `"` + id + `"`, "time": `"2026-11-22T12:00:00Z"`,
	}
	data := map[string]string{"node": `"gpu-eu"`, "customer": `"lab-eu"`, "meter": `"gpu.seconds"`, "quantity": `"12.5"`}
	if name, inData := strings.CutPrefix(member, "data."); inData {
		data[name] = value
	} else {
		members[member] = value
	}
	object := func(m map[string]string, more string) string {
		var b strings.Builder
		for _, name := range []string{"specversion", "type", "source", "id", "time", "node", "customer", "meter", "quantity", "start", "end", "attributes", "typo", "sequence"} {
			if v := m[name]; v != "" {
				fmt.Fprintf(&b, "%q:%s,", name, v)
			}
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + more + "}"
	}
	return object(members, `,"data":`+object(data, ""))
}

// Each bad event between two good ones is refused alone, and kept in REFUSED with
// its field and reason. The good ones are accepted.
func TestABadEventIsRefusedAlone(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	tests := []struct {
		name, member, value string
		reason              events.Reason
		field               string // the member if empty
	}{
		{"an id of 10 KB", "id", long(10 << 10), events.TooLong, ""},
		{"an empty id", "id", `""`, events.Missing, ""},
		{"a number as id", "id", `17`, events.WrongType, ""},
		{"a NUL in the id", "id", `"a\u0000b"`, events.BadText, ""},
		{"half a surrogate pair", "id", `"\ud800"`, events.BadText, ""},
		{"a control character in the source", "source", `"a\nb"`, events.BadText, ""},
		{"another version", "specversion", `"0.3"`, events.Unsupported, ""},
		{"another type", "type", `"com.example.order"`, events.Unsupported, ""},
		{"a sequence of letters", "sequence", `"many"`, events.BadNumber, ""},
		{"a negative quantity", "data.quantity", `"-1"`, events.Negative, ""},
		{"an absurd quantity", "data.quantity", `"86400.000001"`, events.Absurd, ""},
		{"a quantity beyond 128 bits", "data.quantity", `1` + strings.Repeat("0", 60), events.Absurd, ""},
		{"a quantity with 19 decimals", "data.quantity", `"0.0000000000000000001"`, events.TooPrecise, ""},
		{"a quantity in words", "data.quantity", `"many"`, events.BadNumber, ""},
		{"a quantity that is none", "data.quantity", `"NaN"`, events.BadNumber, ""},
		{"a list as quantity", "data.quantity", `[1]`, events.WrongType, ""},
		{"no quantity", "data.quantity", `null`, events.Missing, ""},
		{"an end in the future", "data.end", `"2026-11-22T12:05:00.001Z"`, events.FromFuture, ""},
		{"an end beyond the horizon", "data.end", `"2026-10-18T11:59:59Z"`, events.BeyondHorizon, ""},
		{"a time of no calendar", "data.end", `"2026-02-30T12:00:00Z"`, events.BadTime, ""},
		{"an end before the start", "data.start", `"2026-11-22T12:00:01Z"`, events.BadInterval, ""},
		{"an unknown node", "data.node", `"gpu-nowhere"`, events.UnknownNode, ""},
		{"another provider's node", "data.node", `"gpu-far"`, events.UnknownNode, ""},
		{"an unknown customer", "data.customer", `"nobody"`, events.UnknownCustomer, ""},
		{"another book's customer", "data.customer", `"lab-us"`, events.UnknownCustomer, ""},
		{"an unknown meter", "data.meter", `"fuel"`, events.UnknownMeter, ""},
		{"a node with spaces", "data.node", `"gpu eu"`, events.BadText, ""},
		{"a misspelt member", "data.typo", `"12.5"`, events.Unsupported, ""},
		{"an attribute that is a number", "data.attributes", `{"region":1}`, events.WrongType, "data.attributes.region"},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(b.stored())
			body := "[" + raw("good-1", "id", `"good-1"`) + ",\n" + raw("bad", test.member, test.value) + ",\n" + raw("good-2", "id", `"good-2"`) + "]"
			a := b.post(batchMedia, []byte(body))
			field := test.field
			if field == "" {
				field = test.member
			}
			if a.status != 202 || a.Accepted != 2 || a.Refused != 1 {
				t.Fatalf("answer %+v", a)
			}
			if r := a.Refusals[0]; r.Index != 1 || r.Line != 2 || r.Reason != test.reason || r.Field != field || r.Detail == "" {
				t.Errorf("refusal %+v", r)
			}
			if stored := b.stored()[before:]; len(stored) != 2 || stored[0].ID != "good-1" || stored[1].ID != "good-2" {
				t.Errorf("stored %+v", stored)
			}
			kept := b.kept(i + 1)[i]
			sum := sha256.Sum256([]byte(body))
			if kept.Events != 1 || kept.First[0].Reason != test.reason || kept.SHA256 != hex.EncodeToString(sum[:]) || !bytes.HasPrefix([]byte(body), kept.Head) {
				t.Errorf("kept %+v", kept)
			}
		})
	}
}

// A submission that cannot be read is refused as a whole.
func TestABadBodyIsRefusedAsAWhole(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	good := string(batch(used("a")))
	segment := packedBody(t, "acme", used("a"))
	tests := []struct {
		name   string
		media  string
		body   []byte
		coding string
		status int
		reason events.Reason
		field  string
	}{
		{"half a JSON text", batchMedia, []byte(good[:len(good)/2]), "", 400, events.Malformed, ""},
		{"nothing", batchMedia, nil, "", 400, events.WrongType, ""},
		{"two values", batchMedia, []byte(good + good), "", 400, events.Malformed, ""},
		{"invalid UTF-8", batchMedia, []byte(strings.Replace(good, "gpu-eu", "gpu\xff", 1)), "", 0, events.BadText, ""},
		{"a NUL byte", batchMedia, []byte(strings.Replace(good, "gpu-eu", "gpu\x00", 1)), "", 400, events.Malformed, ""},
		{"10,001 events", batchMedia, []byte("[" + strings.Repeat("1,", 10_000) + "1]"), "", 413, events.TooLarge, ""},
		{"100,000 brackets", batchMedia, bytes.Repeat([]byte("["), 100_000), "", 400, events.Malformed, ""},
		{"no gzip", batchMedia, []byte(good), "gzip", 400, events.Malformed, "body"},
		{"half a gzip", batchMedia, gzipped(batch(used("a")))[:40], "gzip", 400, events.Malformed, "body"},
		{"no zstd", batchMedia, []byte(good), "zstd", 400, events.Malformed, "body"},
		{"half a zstd", batchMedia, zstded(batch(used("a")))[:40], "zstd", 400, events.Malformed, "body"},
		{"half a segment", ingest.PackedMedia, segment[:len(segment)-1], "", 400, events.Malformed, "segment"},
		{"no segment", ingest.PackedMedia, []byte(good), "", 400, events.Malformed, "node"},
		{"a segment of nothing", ingest.PackedMedia, []byte{0}, "", 400, events.Malformed, "version"},
		{"a length without end", ingest.PackedMedia, bytes.Repeat([]byte{0xff}, 20), "", 400, events.Malformed, "segment"},
		{"another's segment", ingest.PackedMedia, packedBody(t, "other", used("a")), "", 403, events.Unauthorized, "provider"},
		{"a good segment before a bad one", ingest.PackedMedia, append(bytes.Clone(segment), 1, 1), "", 400, events.Malformed, "segment"},
	}
	kept := 0
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := b.post(test.media, test.body, "Content-Encoding", test.coding)
			kept++
			last := b.kept(kept)[kept-1]
			if test.status == 0 { // Bad text inside one event makes only that event bad.
				if a.Refused != 1 || a.Refusals[0].Reason != test.reason {
					t.Errorf("answer %+v", a)
				}
				return
			}
			if a.status != test.status || a.Reason != test.reason || a.Field != test.field || a.Detail == "" {
				t.Errorf("answer %+v", a)
			}
			if last.Events != 0 || last.First[0].Reason != test.reason || last.First[0].Index != -1 {
				t.Errorf("kept %+v", last)
			}
		})
	}
	if n := len(b.stored()); n != 0 {
		t.Errorf("stored %d events", n)
	}
	if a := b.post(batchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("a good batch afterwards: %+v", a)
	}
}

// spaces returns n spaces.
type spaces struct{ n int64 }

func (z *spaces) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.n)]
	for i := range p {
		p[i] = ' '
	}
	z.n -= int64(len(p))
	return len(p), nil
}

// Fails when a body can grow beyond its limit before it is measured.
func TestALargeBodyCostsNoMoreThanItsLimit(t *testing.T) {
	b := open(t, eventlog.Config{}, func(c *ingest.Config) { c.MaxBody = 1 << 20 })
	bomb := func(write func(io.Writer) io.WriteCloser) []byte {
		var out bytes.Buffer
		z := write(&out)
		if _, err := io.Copy(z, &spaces{128 << 20}); err != nil {
			t.Fatal(err)
		}
		_ = z.Close()
		return out.Bytes()
	}
	asGzip := bomb(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	asZstd := bomb(func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	})
	tests := []struct {
		name   string
		body   func() io.Reader
		coding string
		kept   int64 // least size
	}{
		{"100 MB", func() io.Reader { return &spaces{100 << 20} }, "", 1 << 20},
		{"100 MB whose length is known", func() io.Reader { return bytes.NewReader(make([]byte, 100<<20)) }, "", 64 << 10},
		{"128 MB in gzip", func() io.Reader { return bytes.NewReader(asGzip) }, "gzip", 1 << 20},
		{"128 MB in zstd", func() io.Reader { return bytes.NewReader(asZstd) }, "zstd", 0},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := test.body()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a, err := b.tryPost(batchMedia, body, "Content-Encoding", test.coding)
			runtime.ReadMemStats(&after)
			if err == nil && (a.status != 413 || a.Reason != events.TooLarge) {
				t.Errorf("answer %+v", a)
			}
			if err != nil && test.coding != "" { // A sender that is still sending may not receive the answer.
				t.Error(err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("took %d MB", grown>>20)
			}
			kept := b.kept(i + 1)[i]
			if kept.First[0].Reason != events.TooLarge || kept.Size < test.kept || kept.Size > 1<<20 {
				t.Errorf("kept %d bytes, %+v", kept.Size, kept.First)
			}
		})
	}
	if a := b.post(batchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("a good batch afterwards: %+v", a)
	}
}

// A sender that announces more than it sends, or that sends slowly, delays nobody
// else.
func TestABrokenOffBodyIsNobodysProblem(t *testing.T) {
	b := open(t, eventlog.Config{}, func(c *ingest.Config) { c.MaxPending = 1 << 20 })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/v1/events", io.MultiReader(strings.NewReader("["), failing{}))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+acmeToken)
	request.Header.Set("Content-Type", batchMedia)
	for range 20 {
		if _, err := do(request); err == nil {
			t.Error("answered")
		}
	}
	if a := b.post(batchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("a good batch afterwards: %+v", a)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Fails when a body's room is not released, or never reserved.
func TestWhatIsBeyondTheRoomIsToldToComeAgain(t *testing.T) {
	b := open(t, eventlog.Config{}, func(c *ingest.Config) {
		c.MaxPending, c.MaxBody, c.QueueWait = 256<<10, 128<<10, 50*time.Millisecond
	})
	// Bodies that never end occupy the room.
	var holding sync.WaitGroup
	var pipes []*io.PipeWriter
	for range 4 {
		r, w := io.Pipe()
		pipes = append(pipes, w)
		holding.Go(func() { _, _ = b.tryPost(batchMedia, r) })
		if _, err := w.Write([]byte("[ ")); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for {
		a := b.post(batchMedia, batch(used("a")))
		if a.status == 503 {
			if a.header.Get("Retry-After") == "" || a.Accepted != 0 {
				t.Errorf("answer %+v", a)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("never overloaded")
		}
	}
	for _, w := range pipes {
		_, _ = w.Write([]byte("]"))
		_ = w.Close()
	}
	holding.Wait()
	if a := b.post(batchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("once there is room: %+v", a)
	}
}

func TestAFullDiskIsSaidSo(t *testing.T) {
	dir := t.TempDir()
	b := open(t, eventlog.Config{Dir: dir}, nil)
	b.stop()
	b.server.Close()
	_ = b.log.Close()
	// No disk has this much free space; declared names are still read.
	streams, err := eventlog.Open(t.Context(), eventlog.Config{Dir: dir, ReserveBytes: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = streams.Close() })
	again := serve(t, streams, nil)
	last, err := again.control.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.service.WaitDirectory(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	a := again.post(batchMedia, batch(used("a")))
	if a.status != 507 || a.header.Get("Retry-After") == "" {
		t.Errorf("answer %+v", a)
	}
	// REFUSED is full as well, which does not change any answer.
	if a := again.post(batchMedia, []byte("[")); a.status != 400 {
		t.Errorf("a bad body: %+v", a)
	}
}
