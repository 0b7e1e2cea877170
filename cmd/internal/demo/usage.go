package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// BatchEvents is the largest number of events that an agent sends at once.
const BatchEvents = 1_000

// Hour is one hour of the day: first its quotes, then its usage.
type Hour struct {
	Start   time.Time
	Quotes  []events.QuotesObserved
	Batches []Batch
}

// Batch is what one agent sends at once.
type Batch struct {
	Source string
	Events []events.Usage
	Resent bool // the answer was lost, so the batch is sent again
}

// load is how busy each hour of a region's local day is.
var load = [24]uint64{38, 30, 26, 24, 25, 30, 42, 60, 82, 98, 108, 112, 106, 110, 114, 112, 104, 96, 90, 86, 80, 70, 58, 46}

// Next returns the next hour; ok is false after the last.
func (w *World) Next() (h Hour, ok bool) {
	if w.hour == 24 {
		return Hour{}, false
	}
	number := w.hour
	w.hour++
	h = Hour{Start: Date.Add(time.Duration(number) * time.Hour), Quotes: w.quotes.hour(number)}
	resend := w.stream(fmt.Sprintf("resend %d", number))
	for at := range regions {
		all := w.usage(at, number)
		for part := range slices.Chunk(all, BatchEvents) {
			h.Batches = append(h.Batches, Batch{Source: source(at), Events: part, Resent: resend.IntN(60) == 0})
		}
		if number == 3 && len(all) > 0 {
			w.kept = append(w.kept, all[0]) // It is contradicted later.
		}
	}
	if number == 11 {
		h.Batches = append(h.Batches, w.legacy())
	}
	return h, true
}

func source(at int) string { return "meridian/agent/" + regions[at].name }

// count is how many events a region has in an hour. It is a difference of running
// totals, so that the day has exactly as many events as configured.
func (w *World) count(at, hour int) int {
	var all, before, until uint64
	for r := range regions {
		for h := range 24 {
			weight := load[(h+regions[r].ahead+24)%24] * uint64(len(w.byRegion[r]))
			all += weight
			if r < at || r == at && h < hour {
				before += weight
			}
			if r < at || r == at && h <= hour {
				until += weight
			}
		}
	}
	n := uint64(w.Events)
	return int(n*until/all - n*before/all)
}

// usage makes one region's events of an hour, ascending by end and numbered.
func (w *World) usage(at, hour int) []events.Usage {
	chance := w.stream(fmt.Sprintf("usage %s %d", regions[at].name, hour))
	n := w.count(at, hour)
	out := make([]events.Usage, 0, n)
	begin := Date.Add(time.Duration(hour) * time.Hour).UnixNano()
	for len(out) < n {
		node := w.Nodes[w.byRegion[at][chance.IntN(len(w.byRegion[at]))]]
		end := begin + (1+chance.Int64N(int64(time.Hour/time.Millisecond)))*int64(time.Millisecond)
		out = append(out, w.work(chance, &node, end, n-len(out))...)
	}
	slices.SortStableFunc(out, func(a, b events.Usage) int { return int(min(max(a.End-b.End, -1), 1)) })
	w.number(at, out)
	return out
}

// number gives a region's events its next sequences.
func (w *World) number(at int, list []events.Usage) {
	for i := range list {
		w.sent[at]++
		list[i].Source, list[i].Sequenced, list[i].Sequence = source(at), true, w.sent[at]
	}
}

// work makes the events of one job or request: one, or two if there is room.
func (w *World) work(chance *rand.Rand, node *Node, end int64, room int) []events.Usage {
	u := events.Usage{Node: node.Name, Customer: w.Customers[pick(chance, w.weights)].Name, End: end}
	if node.Model == "none" || room < 2 {
		// Seconds up to an hour, in milliseconds, on some of the machine's GPUs:
		// with the default sizes, four fifths of the fleet are busy.
		ms := int64(500) + chance.Int64N(1<<(13+chance.IntN(10)))
		count := int64(1) << chance.IntN(4)
		count = min(count, int64(node.GPUs))
		u.Meter, u.Start, u.Quantity = gpuSeconds, max(end-ms*1e6, Date.UnixNano()-int64(time.Hour)), thousandths(ms*count)
		return []events.Usage{u}
	}
	took := int64(80) + chance.Int64N(1<<(6+chance.IntN(8)))
	u.Start = end - took*1e6
	answer := u
	u.Meter, u.Quantity = tokensInput, whole(8+chance.Int64N(1<<(4+chance.IntN(11))))
	answer.Meter, answer.Quantity = tokensOutput, whole(1+chance.Int64N(1<<(3+chance.IntN(9))))
	return []events.Usage{u, answer}
}

// legacy is an exporter that does not number its events: they have ids, and it
// exports some of them twice.
func (w *World) legacy() Batch {
	chance := w.stream("legacy")
	b := Batch{Source: "meridian/legacy-exporter"}
	noon := Date.Add(12 * time.Hour).UnixNano()
	for i := range 480 {
		node := w.Nodes[w.byRegion[0][chance.IntN(len(w.byRegion[0]))]]
		node.Model = "none"
		u := w.work(chance, &node, noon-int64(i)*int64(time.Second), 1)[0]
		u.Source, u.ID = b.Source, fmt.Sprintf("job-%016x", chance.Uint64())
		b.Events = append(b.Events, u)
		if i%24 == 23 {
			b.Events = append(b.Events, u)
		}
	}
	return b
}

// Late returns usage of the day that arrives after the day was closed, from
// agents that had lost their connection.
func (w *World) Late() []Batch {
	chance := w.stream("late")
	var out []Batch
	for _, at := range []int{1, 5} {
		b := Batch{Source: source(at)}
		for range 120 {
			node := w.Nodes[w.byRegion[at][chance.IntN(len(w.byRegion[at]))]]
			node.Model = "none"
			end := Date.Add(22*time.Hour + time.Duration(chance.Int64N(7_200_000))*time.Millisecond).UnixNano()
			b.Events = append(b.Events, w.work(chance, &node, end, 1)...)
		}
		slices.SortStableFunc(b.Events, func(a, b events.Usage) int { return int(min(max(a.End-b.End, -1), 1)) })
		w.number(at, b.Events)
		out = append(out, b)
	}
	return out
}

func whole(n int64) money.Quantity { return thousandths(n * 1000) }

// thousandths returns n ÷ 1000, or zero if n is not above zero.
func thousandths(n int64) money.Quantity {
	q, err := money.QuantityFromMantissa(0, uint64(max(n, 0)), 3)
	if err != nil { // 63 bits with three decimals always fit.
		return money.Quantity{}
	}
	return q
}
