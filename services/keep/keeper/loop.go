package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// loop keeps one stream.
func (k *Keeper) loop(ctx context.Context, s *kept) error {
	defer s.unread()
	next, err := k.first(ctx, s)
	if err != nil {
		return err
	}
	if s.window != nil {
		s.window.open(next)
		defer s.window.close()
	}
	ticker := time.NewTicker(k.config.Every)
	defer ticker.Stop()
	for {
		committed, err := s.maker.committed(ctx)
		if err != nil {
			k.waits(ctx, s, err)
		} else if committed >= next {
			if next, err = k.round(ctx, s, next, committed); err != nil && !Unanswered(err) {
				return err
			}
			k.waits(ctx, s, err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unanswered reports whether a stream or the store did not answer, so that the
// same question may succeed later. Nothing was written because of it: a round
// asks all its questions before it writes.
func Unanswered(err error) bool {
	return eventlog.Unavailable(err) || errors.Is(err, settlement.ErrInterrupted)
}

// waits logs that a stream cannot be kept at the moment, and lets the loop read
// it again from where it was kept.
func (k *Keeper) waits(ctx context.Context, s *kept, cause error) {
	if cause != nil && ctx.Err() == nil {
		s.unread()
		k.config.Logger.Warn("the keeper waits for an answer", "stream", s.stream.Name(), "cause", cause)
	}
}

// first returns the position to begin at, once the store and the stream answer.
func (k *Keeper) first(ctx context.Context, s *kept) (uint64, error) {
	var next uint64
	err := retry.Policy{
		Pause: k.config.Every, Again: Unanswered,
		Waits: func(cause error, _ time.Duration) { k.waits(ctx, s, cause) },
	}.Do(ctx, func() (err error) {
		next, err = s.begin(ctx)
		return err
	})
	return next, err
}

// next returns the message at a position that is committed.
func (s *kept) next(ctx context.Context, position uint64) (item, error) {
	if s.window != nil {
		if i, ok := s.window.take(position); ok {
			s.unread()
			return i, nil
		}
	}
	if s.reader != nil && s.reads != position {
		s.unread()
	}
	if s.reader == nil {
		reader, err := s.stream.Read(ctx, position, "")
		if err != nil {
			return item{}, err
		}
		s.reader, s.reads = reader, position
	}
	m, err := s.reader.Next(ctx) // Cannot block: the position is already committed.
	if err != nil {
		return item{}, err
	}
	s.reads++
	return item{Message: m, hash: hashOf(m.Data)}, nil
}

// unread stops reading the stream.
func (s *kept) unread() {
	if s.reader != nil {
		s.reader.Stop()
		s.reader = nil
	}
}

// begin returns the position to begin at. A restored database settles positions
// again that the log already has; these are compared leaf by leaf.
func (s *kept) begin(ctx context.Context) (uint64, error) {
	next := s.log.Size() + 1
	if u, ok := s.maker.(*usage); ok {
		committed, err := u.committed(ctx)
		if err != nil {
			return 0, err
		}
		next = min(next, committed+1)
	}
	return next, nil
}

// Finish keeps what was committed last. It is called after Run has returned on
// request and when nothing else runs, so that an installation that was stopped in
// order is proved to its end. What it has not kept when ctx ends is kept after
// the next start.
func (k *Keeper) Finish(ctx context.Context) error {
	if k.Err() != nil {
		return nil
	}
	for _, s := range k.kept {
		if err := k.finish(ctx, s); err != nil {
			return fmt.Errorf("keeping the end of %s: %w", s.stream.Name(), err)
		}
	}
	return nil
}

func (k *Keeper) finish(ctx context.Context, s *kept) error {
	next, err := s.begin(ctx)
	if err != nil {
		return err
	}
	committed, err := s.maker.committed(ctx)
	if err != nil || committed < next {
		return err
	}
	defer s.unread()
	for next <= committed {
		if next, err = k.round(ctx, s, next, committed); err != nil {
			return err
		}
	}
	return nil
}

// round keeps the messages up to committed, and returns the next position.
func (k *Keeper) round(ctx context.Context, s *kept, next, committed uint64) (uint64, error) {
	var items []item
	bytes := 0
	for len(items) < perRound && bytes < roundBytes && next+uint64(len(items)) <= committed {
		i, err := s.next(ctx, next+uint64(len(items)))
		if err != nil {
			return next, err
		}
		items = append(items, i)
		bytes += len(i.Data)
	}
	leaves, err := s.maker.leaves(ctx, items)
	if err != nil {
		return next, err
	}
	var fresh [][]byte
	size, archived := s.log.Size(), s.archive.Last()
	for i, m := range items {
		switch {
		case m.Seq <= size:
			if err := s.known(m.Seq, leaves[i]); err != nil {
				return next, err
			}
			continue
		case m.Seq <= archived:
			if err := s.again(m); err != nil {
				return next, err
			}
		default:
			if err := s.archive.Append(copyOf(m.Message, m.hash)); err != nil {
				return next, err
			}
		}
		fresh = append(fresh, leaves[i])
	}
	next += uint64(len(items))
	if len(fresh) == 0 {
		return next, nil
	}
	if err := s.archive.Sync(); err != nil {
		return next, err
	}
	if err := s.log.Append(fresh); err != nil {
		return next, fmt.Errorf("log of %s: %w", s.stream.Name(), err)
	}
	if err := s.log.Commit(); err != nil {
		return next, fmt.Errorf("log of %s: %w", s.stream.Name(), err)
	}
	s.ahead = nil
	k.remember(s)
	return next, nil
}

// known compares a leaf with the one in the log.
func (s *kept) known(position uint64, leaf []byte) error {
	have, err := s.log.Leaf(position - 1)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.stream.Name(), err)
	}
	if string(have) != string(leaf) {
		return &Difference{Stream: s.stream.Name(), First: position, Last: position, Side: SideStore,
			Problem: "the outcomes that were settled are not those that the log has signed"}
	}
	return nil
}

// again compares a message with the one that an interrupted round has archived.
func (s *kept) again(m item) error {
	for _, have := range s.ahead {
		if have.Position == m.Seq {
			if have.SHA256 == m.hash && have.Subject == m.Subject {
				return nil
			}
			return &Difference{Stream: s.stream.Name(), First: m.Seq, Last: m.Seq, Side: SideStream,
				Problem: "the message is not the one that was archived"}
		}
	}
	return &Difference{Stream: s.stream.Name(), First: m.Seq, Last: m.Seq, Side: SideArchive, Problem: "missing"}
}
