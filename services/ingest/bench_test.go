package ingest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

const (
	benchNodes     = 300
	benchCustomers = 50
	benchEvents    = 1_000 // per request
	benchBodies    = 16
)

// benchBatch returns the events of one request; each has another node and
// customer.
func benchBatch(n int) []events.Usage {
	list := make([]events.Usage, benchEvents)
	for i := range list {
		k := n*benchEvents + i
		list[i] = used("", func(u *events.Usage) {
			u.Sequenced, u.Epoch, u.Sequence = true, 1, uint64(k)
			u.Node = events.Node(fmt.Sprintf("node-%03d", k*7%benchNodes))
			u.Customer = events.Customer(fmt.Sprintf("customer-%02d", k*11%benchCustomers))
			u.Start, u.End = noon.UnixNano()-int64(k)*1e6-60e9, noon.UnixNano()-int64(k)*1e6
			u.Quantity = quantity(fmt.Sprintf("%d.%03d", k%600, k%1000))
			u.Attributes = []events.Attribute{{Name: "gpu", Value: fmt.Sprintf("H%d00", k%4)}}
		})
	}
	return list
}

// BenchmarkHTTP sends 1,000 events per request over loopback, with eight senders
// at a time and every message synced. One iteration is one request. cpu-ns/event
// is the CPU time of the process, including the senders.
func BenchmarkHTTP(b *testing.B) {
	forms := []struct {
		name, media string
		encode      func(list []events.Usage) []byte
	}{
		{"JSON", batchMedia, func(list []events.Usage) []byte { return batch(list...) }},
		{"packed", ingest.PackedMedia, func(list []events.Usage) []byte { return packedBody(b, "acme", list...) }},
	}
	for _, form := range forms {
		var bodies [][]byte
		for n := range benchBodies {
			bodies = append(bodies, form.encode(benchBatch(n)))
		}
		for _, inFlight := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/in-flight-%d", form.name, inFlight), func(b *testing.B) {
				s := open(b, eventlog.Config{}, func(c *ingest.Config) { c.MaxInFlight = inFlight })
				var declared []events.Body
				for i := range benchNodes {
					declared = append(declared, events.NodeDeclared{Node: events.Node(fmt.Sprintf("node-%03d", i)), Book: "eu"})
				}
				for i := range benchCustomers {
					declared = append(declared, events.CustomerDeclared{Customer: events.Customer(fmt.Sprintf("customer-%02d", i)), Book: "eu"})
				}
				s.declare(declared...)
				benchPost(b, s, form.media, bodies)
			})
		}
	}
}

func benchPost(b *testing.B, s *bench, media string, bodies [][]byte) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	before, err := s.usage.Last(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var senders sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu()
	for range 8 {
		senders.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.server.URL+"/v1/events", bytes.NewReader(bodies[i%len(bodies)]))
				if err != nil {
					b.Error(err)
					return
				}
				request.Header.Set("Authorization", "Bearer "+acmeToken)
				request.Header.Set("Content-Type", media)
				response, err := client.Do(request)
				if err != nil {
					b.Error(err)
					return
				}
				text, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusAccepted {
					b.Errorf("%d %s", response.StatusCode, text)
					return
				}
			}
		})
	}
	senders.Wait()
	used = cpu() - used
	b.StopTimer()
	after, err := s.usage.Last(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	total := b.N * benchEvents
	b.ReportMetric(float64(used)/float64(total), "cpu-ns/event")
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(total)/float64(after-before), "events/message")
	b.SetBytes(int64(len(bodies[0])))
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
