package settle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// weight is how much of the room for uncommitted cuts a cut takes.
func weight(c *settlement.Cut) int64 {
	return int64(min(c.Events+uncommitted/perCommit/4, uncommitted))
}

// commit writes cuts as they arrive, all that are waiting in one transaction,
// and reports the last committed position.
func (s *Settler) commit(ctx context.Context, cuts <-chan made, committed chan<- uint64) error {
	from := s.config.Cursor.Position
	for {
		var list []made
		select {
		case next, ok := <-cuts:
			if !ok {
				return nil
			}
			list = append(list, next)
		case <-ctx.Done():
			return ctx.Err()
		}
		for more := true; more && len(list) < perCommit; {
			select {
			case next, ok := <-cuts:
				if more = ok; ok {
					list = append(list, next)
				}
			default:
				more = false
			}
		}
		began := time.Now()
		in, span := s.show.begin(ctx, list)
		last := list[len(list)-1].cut
		if err := s.put(in, from, list); err != nil {
			return failed(span, err)
		}
		s.show.committed(in, span, began, list)
		s.pace.commit.Store(int64(time.Since(began)) / int64(len(list)))
		from = last.Position
		for _, m := range list {
			s.room.Release(weight(m.cut))
		}
		s.advance(last.Position, last.Control)
		if s.config.Ledger != nil {
			s.config.Ledger.Wake(in)
		}
		select {
		case committed <- last.Position:
		default: // The core has not read the previous report; the next one replaces it.
		}
	}
}

// put makes cuts durable, in the index of identities and in the store.
func (s *Settler) put(ctx context.Context, from uint64, list []made) error {
	cuts := make([]*settlement.Cut, len(list))
	for i, m := range list {
		cuts[i] = m.cut
	}
	encoded, err := encode(cuts)
	if err != nil {
		return err
	}
	// The index is synced before the database commits: an event that the
	// database calls accepted must be in the index.
	if err := s.config.IDs.Sync(cuts[len(cuts)-1].Position); err != nil {
		return err
	}
	return s.write(ctx, from, cuts, encoded)
}

func encode(cuts []*settlement.Cut) ([][][]byte, error) {
	encoded := make([][][]byte, len(cuts))
	for i, c := range cuts {
		encoded[i] = make([][]byte, len(c.Records))
		for j := range c.Records {
			var err error
			if encoded[i][j], err = ledger.AppendRecord(nil, &c.Records[j]); err != nil {
				return nil, fmt.Errorf("cut at %d: %w", c.Position, err)
			}
		}
	}
	return encoded, nil
}

// write commits, and waits while the store is unavailable. Commits are retried
// only here.
func (s *Settler) write(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error {
	return retry.Policy{
		Pause: interruptedPause, Longest: interruptedLongest,
		Again: func(err error) bool { return errors.Is(err, settlement.ErrInterrupted) },
		Waits: func(cause error, _ time.Duration) {
			s.show.retries.Add(ctx, 1, s.show.here)
			s.log.WarnContext(ctx, "settlement waits for the store", "partition", s.config.Partition, "cause", cause)
		},
	}.Do(ctx, func() error { return s.config.Store.Commit(ctx, from, cuts, encoded) })
}

// patiently repeats a read of the log while the log does not answer, for
// example while a stream elects a leader. Reads of the store have their own
// retries.
func (s *Settler) patiently(ctx context.Context, read func() error) error {
	return retry.Policy{Pause: interruptedPause, Longest: interruptedLongest, Again: eventlog.Unavailable, Waits: func(cause error, _ time.Duration) {
		s.log.Warn("settlement waits for the log", "partition", s.config.Partition, "cause", cause)
	}}.Do(ctx, read)
}

// interrupted reports whether a failed publish may succeed when it is retried.
func interrupted(err error) bool {
	return errors.Is(err, eventlog.ErrAmbiguous) || errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, eventlog.ErrFull)
}
