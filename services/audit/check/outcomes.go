package check

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// verdict is an outcome and its reason.
type verdict struct {
	outcome events.Outcome
	reason  events.Reason
}

func (v verdict) String() string {
	names := [...]string{"?", "accepted", "late", "duplicate", "refused"}
	if int(v.outcome) >= len(names) {
		return fmt.Sprint("outcome ", int(v.outcome))
	}
	if v.reason == "" {
		return names[v.outcome]
	}
	return names[v.outcome] + ": " + string(v.reason)
}

// talliesEqualOutcomes: the events of all tallies are the events of all
// outcomes, for each outcome and reason.
func (b *books) talliesEqualOutcomes() (string, error) {
	tallied, kept := map[verdict]uint64{}, map[verdict]uint64{}
	tallies, err := b.snapshot.Tallies("")
	if err != nil {
		return "", err
	}
	for _, t := range tallies {
		tallied[verdict{t.Outcome, t.Reason}] += t.Events
	}
	cursors, err := b.snapshot.Cursors()
	if err != nil {
		return "", err
	}
	broken := ""
	for _, c := range cursors {
		batches := uint64(0)
		err := b.snapshot.Outcomes(c.Partition, func(o settlement.Outcome) error {
			batches++
			n := 0
			for _, r := range o.Runs {
				n += r.Events
				if r.Events > 0 {
					kept[verdict{r.Outcome, r.Reason}] += uint64(r.Events)
				}
			}
			if (n != o.Events || o.Position > c.Position) && broken == "" {
				broken = fmt.Sprintf("position %d has %d outcomes for %d events; partition %d is settled up to %d", o.Position, n, o.Events, c.Partition, c.Position)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if batches != c.Batches && broken == "" {
			broken = fmt.Sprintf("partition %d has outcomes of %d messages, but has settled %d", c.Partition, batches, c.Batches)
		}
	}
	if broken != "" {
		return broken, nil
	}
	first := ""
	// map order: the smallest text wins, in both loops.
	for _, m := range []map[verdict]uint64{tallied, kept} {
		for v := range m {
			if tallied[v] != kept[v] {
				if text := fmt.Sprintf("%s: the tallies sum to %d events, but the outcomes to %d", v, tallied[v], kept[v]); first == "" || text < first {
					first = text
				}
			}
		}
	}
	return first, nil
}

// sequencesAcceptedOnce: the accepted ranges of a source do not overlap, and
// together are the sequences that count as accepted.
func (b *books) sequencesAcceptedOnce() (string, error) {
	if n, ok, err := b.snapshot.Sourceless(); err != nil || ok {
		return fmt.Sprintf("sequences of source %d count as accepted, but there is no such source", n), err
	}
	sources, err := b.snapshot.Sources("")
	if err != nil {
		return "", err
	}
	for _, s := range sources {
		name := fmt.Sprintf("source %s of %s, epoch %d", s.Source.Source, s.Provider, s.Epoch)
		var joined []settlement.Span
		broken := ""
		err := b.snapshot.Originals(s, func(o settlement.Original) error {
			n := len(joined)
			switch {
			case o.Span.Last < o.Span.First:
				broken = fmt.Sprintf("%s: range %d to %d at position %d", name, o.Span.First, o.Span.Last, o.Position)
			case n > 0 && o.Span.First <= joined[n-1].Last:
				broken = fmt.Sprintf("%s: sequence %d was accepted again at position %d", name, o.Span.First, o.Position)
			case n > 0 && o.Span.First == joined[n-1].Last+1:
				joined[n-1].Last = o.Span.Last
			default:
				joined = append(joined, o.Span)
			}
			return nil
		})
		if err != nil || broken != "" {
			return broken, err
		}
		i := 0
		err = b.snapshot.Spans(s, func(span settlement.Span) error {
			if broken == "" && (i >= len(joined) || joined[i] != span) {
				broken = fmt.Sprintf("%s: sequences %d to %d count as accepted, but no message was accepted with them", name, span.First, span.Last)
			}
			i++
			return nil
		})
		if err == nil && broken == "" && i < len(joined) {
			broken = fmt.Sprintf("%s: sequences %d to %d were accepted, but do not count as accepted", name, joined[i].First, joined[i].Last)
		}
		if err != nil || broken != "" {
			return broken, err
		}
	}
	return "", nil
}

// outcomesEqualUsage reads the streams: every event of every batch has one
// outcome, and no node has more outcomes than events.
func (b *books) outcomesEqualUsage(ctx context.Context, usage []*eventlog.Stream) (string, error) {
	count := &counter{events: map[nodePeriod]uint64{}}
	for _, stream := range usage {
		if broken, err := b.outcomesEqual(ctx, stream, count); err != nil || broken != "" {
			return broken, err
		}
	}
	return count.compare(b.snapshot)
}

func (b *books) outcomesEqual(ctx context.Context, usage *eventlog.Stream, count *counter) (string, error) {
	c, err := b.cursorOf(usage)
	if err != nil || c.Position == 0 {
		return "", err
	}
	last, err := usage.Last(ctx)
	if err != nil {
		return "", err
	}
	if last < c.Position {
		return fmt.Sprintf("%s ends at %d, but is settled up to %d", usage.Name(), last, c.Position), nil
	}
	r, err := usage.Read(ctx, 1, "")
	if err != nil {
		return "", err
	}
	defer r.Stop()
	at, broken := uint64(0), ""
	// to reads on to the position of a batch and returns the number of its
	// events.
	to := func(position uint64) (n int, err error) {
		for at < position {
			m, err := r.Next(ctx)
			if err != nil {
				return 0, err
			}
			at = m.Seq
			batch, events := count.message(m.Data)
			if at == position {
				return events, nil
			}
			if batch && broken == "" {
				broken = fmt.Sprintf("position %d has a batch of %d events but no outcome", at, events)
			}
		}
		return 0, nil
	}
	err = b.snapshot.Outcomes(c.Partition, func(o settlement.Outcome) error {
		n, err := to(o.Position)
		if err == nil && n != o.Events && broken == "" {
			broken = fmt.Sprintf("position %d has %d events, but outcomes of %d", o.Position, n, o.Events)
		}
		return err
	})
	if err == nil && at < c.Position {
		if _, err = to(c.Position); err == nil && count.batch && broken == "" {
			broken = fmt.Sprintf("position %d has a batch but no outcome", at)
		}
	}
	return broken, err
}

// counter counts the events of messages.
type counter struct {
	events  map[nodePeriod]uint64 // by book and node; no period
	total   uint64
	batch   bool // the last message was a batch
	decoded events.Message
	scratch []byte
	columns packed.Columns
	nodes   []uint64
}

func (c *counter) compare(snapshot *store.Snapshot) (string, error) {
	tallies, err := snapshot.Tallies("")
	if err != nil {
		return "", err
	}
	total := uint64(0)
	tallied := map[nodePeriod]uint64{}
	for _, t := range tallies {
		total += t.Events
		if t.Node != "" {
			tallied[nodePeriod{t.Book, string(t.Node), ""}] += t.Events
		}
	}
	if total != c.total {
		return fmt.Sprintf("the stream has %d events, but the tallies %d", c.total, total), nil
	}
	first := ""
	// map order: the smallest text wins.
	for k, n := range tallied {
		if n > c.events[k] {
			if text := fmt.Sprintf("book %s, node %s: the stream has %d events, but the tallies %d", k.book, k.node, c.events[k], n); first == "" || text < first {
				first = text
			}
		}
	}
	return first, nil
}

// message counts the events of one message. As for the settler, a message that
// cannot be read has none.
func (c *counter) message(data []byte) (batch bool, n int) {
	var err error
	c.scratch, err = c.decoded.Decode(data, c.scratch)
	c.batch = err != nil || c.decoded.Kind == events.Batch
	if err != nil {
		return true, 0
	}
	for i := range c.decoded.Segments {
		s := &c.decoded.Segments[i]
		if c.columns.Decode(s.Packed) != nil {
			continue
		}
		n += c.columns.N
		c.nodes = append(c.nodes[:0], make([]uint64, len(c.columns.Strings))...)
		for _, node := range c.columns.Node[:c.columns.N] {
			c.nodes[node]++
		}
		for k, count := range c.nodes {
			if count > 0 {
				c.events[nodePeriod{s.Book, string(c.columns.Strings[k]), ""}] += count
			}
		}
	}
	c.total += uint64(n)
	return c.batch, n
}
