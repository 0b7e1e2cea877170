package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/audit/tlog"
)

// loop keeps one stream.
func (k *Keeper) loop(ctx context.Context, s *kept) error {
	next, err := s.begin(ctx)
	if err != nil {
		return err
	}
	var reader *eventlog.Reader
	defer func() {
		if reader != nil {
			reader.Stop()
		}
	}()
	ticker := time.NewTicker(k.config.Every)
	defer ticker.Stop()
	for {
		committed, err := s.maker.committed(ctx)
		if err == nil && committed >= next {
			if reader == nil {
				if reader, err = s.stream.Read(ctx, next, ""); err != nil {
					return err
				}
			}
			if next, err = k.round(ctx, s, reader, next, committed); err != nil {
				return err
			}
		} else if err != nil && ctx.Err() == nil {
			k.config.Logger.Warn("the keeper waits for the store", "stream", s.stream.Name(), "cause", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin is the position that comes first. A restored database settles again what
// the log has already: that is compared, leaf by leaf.
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

// Finish keeps what was committed last, after Run has returned because it was
// asked to and when nothing else runs any more, so that an installation that was
// stopped in order is proved to its end. What it does not keep before ctx ends
// is kept after the next start.
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
	reader, err := s.stream.Read(ctx, next, "")
	if err != nil {
		return err
	}
	defer reader.Stop()
	for next <= committed {
		if next, err = k.round(ctx, s, reader, next, committed); err != nil {
			return err
		}
	}
	return nil
}

// round keeps what has come, up to committed, and returns what comes next.
func (k *Keeper) round(ctx context.Context, s *kept, reader *eventlog.Reader, next, committed uint64) (uint64, error) {
	var messages []eventlog.Message
	var hashes []tlog.Hash
	bytes := 0
	for len(messages) < perRound && bytes < roundBytes && next+uint64(len(messages)) <= committed {
		m, err := reader.Next(ctx) // It is there: it is committed.
		if err != nil {
			return next, err
		}
		messages = append(messages, m)
		hashes = append(hashes, hashOf(m.Data))
		bytes += len(m.Data)
	}
	leaves, err := s.maker.leaves(ctx, messages, hashes)
	if err != nil {
		return next, err
	}
	var fresh [][]byte
	size, archived := s.log.Size(), s.archive.Last()
	for i, m := range messages {
		switch {
		case m.Seq <= size:
			if err := s.known(m.Seq, leaves[i]); err != nil {
				return next, err
			}
			continue
		case m.Seq <= archived:
			if err := s.again(m, hashes[i]); err != nil {
				return next, err
			}
		default:
			if err := s.archive.Append(copyOf(m, hashes[i])); err != nil {
				return next, err
			}
		}
		fresh = append(fresh, leaves[i])
	}
	next += uint64(len(messages))
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

// known compares a leaf with the one that the log has.
func (s *kept) known(position uint64, leaf []byte) error {
	have, err := s.log.Leaf(position - 1)
	if err != nil {
		return fmt.Errorf("log of %s: %w", s.stream.Name(), err)
	}
	if string(have) != string(leaf) {
		return &Difference{Stream: s.stream.Name(), First: position, Last: position, Side: SideStore,
			Problem: "what was settled is not what the log has signed"}
	}
	return nil
}

// again compares a message with what a round that was interrupted has archived.
func (s *kept) again(m eventlog.Message, hash tlog.Hash) error {
	for _, have := range s.ahead {
		if have.Position == m.Seq {
			if have.SHA256 == hash && have.Subject == m.Subject {
				return nil
			}
			return &Difference{Stream: s.stream.Name(), First: m.Seq, Last: m.Seq, Side: SideStream,
				Problem: "the message is not the one that was archived"}
		}
	}
	return &Difference{Stream: s.stream.Name(), First: m.Seq, Last: m.Seq, Side: SideArchive, Problem: "missing"}
}
