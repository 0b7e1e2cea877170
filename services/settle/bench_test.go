package settle_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// BenchmarkSettle measures from messages in the stream to committed: 1,000
// events a segment, 10 segments a message, 300 nodes, 50 customers. It reports
// wall time and process CPU for each event, the embedded server's included.
func BenchmarkSettle(b *testing.B) {
	for _, foreign := range []bool{false, true} {
		b.Run(fmt.Sprintf("foreign=%v", foreign), func(b *testing.B) {
			const perMessage = 10_000
			messages := 200
			if foreign {
				messages = 20
			}
			h := newHouse(b)
			h.declare(300, 50)
			p := h.place("bench")
			s := p.settler(0)
			stop := run(s)
			h.must(s.WaitEffective(context.Background(), uint64(h.decided)))
			_ = stop()
			var builder packed.Builder
			last := uint64(0)
			for m := range messages {
				var list []events.Segment
				for k := range 10 {
					list = append(list, segment(&builder, m*perMessage+k*1000, 1000, 300, 50, foreign))
				}
				last = h.send(list...)
			}
			for b.Loop() {
				q := h.place(fmt.Sprintf("bench-%d", b.Elapsed()))
				s := q.settler(0)
				before := cpu()
				stop := run(s)
				h.must(s.WaitSettled(context.Background(), last))
				used := cpu() - before
				_ = stop()
				b.ReportMetric(float64(used)/float64(messages*perMessage), "cpu-ns/event")
				q.close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages*perMessage), "ns/event")
		})
	}
}

func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
