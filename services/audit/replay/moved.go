package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// movedUsage is USAGE with barriers that name positions of an edited CONTROL. It
// is an [eventlog.Source].
type movedUsage struct {
	inner   *eventlog.Stream
	last    uint64
	control *editedControl
}

// Last returns the position at which the replay ends.
func (u *movedUsage) Last() uint64 { return u.last }

// Get reads one message.
func (u *movedUsage) Get(ctx context.Context, position uint64) (eventlog.Message, error) {
	if position > u.last {
		return eventlog.Message{}, eventlog.ErrNotFound
	}
	m, err := u.inner.Get(ctx, position)
	return u.move(m), err
}

func (u *movedUsage) move(m eventlog.Message) eventlog.Message {
	const kind = 1 // The second byte of every message of USAGE.
	if len(m.Data) <= kind || events.MessageKind(m.Data[kind]) != events.Barrier {
		return m
	}
	var barrier events.Message
	if _, err := barrier.Decode(m.Data, nil); err == nil {
		barrier.Control = u.control.outer(barrier.Control)
		barrier.Root = nil // It is the root of the original CONTROL.
		m.Data = events.AppendMessage(nil, &barrier)
	}
	return m
}

// Messages reads all messages from a position on.
func (u *movedUsage) Messages(ctx context.Context, from uint64, each func(eventlog.Message) error) error {
	if from > u.last {
		return nil
	}
	r, err := u.inner.Read(ctx, from, "")
	if err != nil {
		return err
	}
	defer r.Stop()
	for {
		m, err := r.Next(ctx)
		if err == nil {
			err = each(u.move(m))
		}
		if err != nil || m.Seq == u.last {
			return err
		}
	}
}

// madeLedger is what a shadow replay settled, in the order of the real LEDGER. It
// is an [eventlog.Source].
type madeLedger struct {
	writers []store.WriterState
	rows    []madeRow

	mu      sync.Mutex // guards settled, which is for one goroutine at a time
	settled *store.Snapshot
}

type madeRow struct {
	writer int // of writers
	number uint64
}

// follow puts the rows of each writer where the real stream has the rows of the
// same cuts. It returns the positions in this stream of the given positions in
// the real one.
func (l *madeLedger) follow(ctx context.Context, real *eventlog.Stream, positions []uint64) (at map[uint64]uint64, err error) {
	if l.writers, err = l.settled.Writers(); err != nil {
		return nil, err
	}
	at = map[uint64]uint64{0: 0}
	last, err := real.Last(ctx)
	if err != nil || last == 0 {
		return at, err
	}
	r, err := real.Read(ctx, 1, "")
	if err != nil {
		return nil, err
	}
	defer r.Stop()
	upTo := make([]uint64, len(l.writers)) // rows of each writer that were placed
	for position := uint64(0); position < last; {
		m, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		position = m.Seq
		head, err := ledger.DecodeHeader(m.Data)
		if err != nil {
			return nil, fmt.Errorf("%s position %d: %w", real.Name(), position, err)
		}
		if i := l.writerOf(m); i >= 0 {
			next, err := l.settled.FirstAt(l.writers[i], head.Cut+1)
			if err != nil {
				return nil, err
			}
			for ; upTo[i]+1 < next; upTo[i]++ {
				l.rows = append(l.rows, madeRow{i, upTo[i] + 1})
			}
		}
		if _, wanted := slices.BinarySearch(positions, position); wanted {
			at[position] = uint64(len(l.rows))
		}
	}
	for i, w := range l.writers {
		for ; upTo[i] < w.Last; upTo[i]++ {
			l.rows = append(l.rows, madeRow{i, upTo[i] + 1})
		}
	}
	return at, nil
}

// writerOf returns the writer of a message, or -1 if it has none.
func (l *madeLedger) writerOf(m eventlog.Message) int {
	id := m.Header.Get(nats.MsgIdHdr)
	return slices.IndexFunc(l.writers, func(w store.WriterState) bool { return strings.HasPrefix(id, w.Name+"-") })
}

// Last returns the number of rows that were settled.
func (l *madeLedger) Last() uint64 { return uint64(len(l.rows)) }

// Get reads one row.
func (l *madeLedger) Get(_ context.Context, position uint64) (eventlog.Message, error) {
	if position == 0 || position > l.Last() {
		return eventlog.Message{}, eventlog.ErrNotFound
	}
	at := l.rows[position-1]
	l.mu.Lock()
	defer l.mu.Unlock()
	row, ok, err := l.settled.Row(l.writers[at.writer], at.number)
	if err == nil && !ok {
		err = eventlog.ErrNotFound
	}
	return eventlog.Message{Seq: position, Subject: eventlog.LedgerSubject(string(row.Book)), Data: row.Record}, err
}

// Messages reads all rows from a position on.
func (l *madeLedger) Messages(ctx context.Context, from uint64, each func(eventlog.Message) error) error {
	for at := from; at <= l.Last(); at++ {
		m, err := l.Get(ctx, at)
		if err == nil {
			err = each(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
