package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxNamed bounds how many missing positions an error spells out.
const maxNamed = 10

// Verify checks that the stream is the one that a reader knows, before the
// reader continues (design, section 5): created at created, ending at or after
// position pos, without missing messages, and with the recorded SHA-256 of the
// data at pos. If created is zero or pos is 0, it is not known yet and not
// checked.
//
// It fails with ErrOtherStream, ErrRewound, ErrGap or ErrAltered, which name
// the positions. A Bounded stream may lack its oldest messages.
func (s *Stream) Verify(ctx context.Context, pos uint64, hash [sha256.Size]byte, created time.Time) error {
	err := s.verify(ctx, pos, hash, created)
	if err != nil {
		return fmt.Errorf("verifying stream %s: %w", s.name, err)
	}
	return nil
}

func (s *Stream) verify(ctx context.Context, pos uint64, hash [sha256.Size]byte, created time.Time) error {
	extent, now, err := s.info(ctx)
	if err != nil {
		return err
	}
	if !created.IsZero() && !now.Equal(created) {
		return fmt.Errorf("%w: created %v, known %v", ErrOtherStream, now, created)
	}
	if !s.bounded {
		if err := extent.gaps(); err != nil {
			return err
		}
	}
	if extent.Last < pos {
		return fmt.Errorf("%w: it ends at %d, position %d is known", ErrRewound, extent.Last, pos)
	}
	if pos == 0 {
		return nil
	}
	message, err := s.Get(ctx, pos)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: position %d", ErrGap, pos)
	}
	if err != nil {
		return err
	}
	if have := sha256.Sum256(message.Data); have != hash {
		return fmt.Errorf("%w: position %d has hash %x, recorded %x", ErrAltered, pos, have, hash)
	}
	return nil
}

// gaps returns an error that names the positions missing between 1 and the
// last.
func (i Info) gaps() error {
	missing := i.Last - i.Messages
	if i.Messages > i.Last {
		return fmt.Errorf("%w: %d messages up to position %d", ErrAltered, i.Messages, i.Last)
	}
	if missing == 0 && len(i.Deleted) == 0 {
		return nil
	}
	var named []string
	if i.First > 1 {
		named = append(named, span(1, i.First-1))
	}
	for start := 0; start < len(i.Deleted); {
		end := start
		for end+1 < len(i.Deleted) && i.Deleted[end+1] == i.Deleted[end]+1 {
			end++
		}
		if len(named) == maxNamed {
			named = append(named, "…")
			break
		}
		named = append(named, span(i.Deleted[start], i.Deleted[end]))
		start = end + 1
	}
	return fmt.Errorf("%w: %d of %d: positions %s", ErrGap, missing, i.Last, strings.Join(named, ", "))
}

func span(first, last uint64) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}
