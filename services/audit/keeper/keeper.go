// Package keeper keeps, beside the streams, what proves them: of every stream a
// second copy of its messages and a signed, append-only log of their hashes.
//
// The method: one loop a stream reads on from where its log ends, writes each
// message to the archive, appends its leaf to the log and signs a checkpoint,
// in this order and at most four times a second. Start is recovery: the ends of
// stream, archive and log are compared first, and whoever settles starts only
// when they agree ([Open]). What an interrupted round left in the archive, or
// what the log knows and a restored database has to derive again, is compared
// and not written a second time.
//
// # Invariants
//
//   - An observer: nothing waits for the keeper, and its failure stops nothing
//     but itself. [Keeper.Err] tells it.
//   - Signed after the commit: a usage leaf is made only of what the settler has
//     committed, with the outcomes of the store.
//   - Synced before signed: a checkpoint covers only messages whose second copy
//     and leaf are on disk.
//   - Never against itself: where a message, its copy and its leaf differ, the
//     keeper stops with a [Difference] and signs nothing.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/audit/archive"
	"github.com/aliquot-engine/aliquot/services/audit/tiles"
	"github.com/aliquot-engine/aliquot/services/audit/tlog"
)

const (
	// DefaultEvery is how often a stream is looked at, and the least time
	// between two checkpoints of its log.
	DefaultEvery = 250 * time.Millisecond

	// perRound and roundBytes bound what one round holds in memory.
	perRound   = 4000
	roundBytes = 16 << 20
)

// Store is where the outcomes of usage are. Cursor is how far a partition is
// committed; Outcomes calls each, ascending, for every batch committed between
// two positions.
type Store interface {
	Cursor(ctx context.Context, partition int) (settlement.Cursor, error)
	Outcomes(ctx context.Context, partition int, from, to uint64, each func(settlement.Outcome) error) error
}

// Config says what to keep and where.
type Config struct {
	// Dir is the installation's folder; see [Folders].
	Dir string
	// Usage is the stream of one partition.
	Usage     *eventlog.Stream
	Partition int
	// Streams are the others.
	Streams []*eventlog.Stream
	Store   Store
	// Every is how often; 0 means DefaultEvery. Longer, and more is unproved
	// for longer; shorter, and the disk syncs more often.
	Every time.Duration
	// Logger is told what operators must know; nil: slog.Default.
	Logger *slog.Logger
}

// LogName is a stream's name as its log and its folders have it.
func LogName(stream string) string { return strings.ToLower(stream) }

// ArchiveDir is where a stream's second copy is, below an installation's folder.
func ArchiveDir(dir, stream string) string { return filepath.Join(dir, "archive", LogName(stream)) }

// LogDir is where a stream's log is, below an installation's folder.
func LogDir(dir, stream string) string { return filepath.Join(dir, "tlog", LogName(stream)) }

// Keeper is the running loops. Make it with [Open].
type Keeper struct {
	config Config
	key    *tlog.Key
	kept   []*kept

	mu  sync.Mutex // guards what follows
	err error
}

// kept is one stream and what is kept of it.
type kept struct {
	stream  *eventlog.Stream
	log     *tiles.Log
	archive *archive.Archive
	maker   maker
	ahead   []archive.Message // in the archive behind the log's end, without data
}

// maker makes leaves. committed is how far they can be made now.
type maker interface {
	committed(ctx context.Context) (uint64, error)
	leaves(ctx context.Context, messages []eventlog.Message, hashes []tlog.Hash) ([][]byte, error)
}

// Open opens logs and archives, makes them where there are none, and compares
// their ends with the streams. Its error is one line that names the stream and
// the position; a [Difference] means that what is kept and what is in the
// stream are not the same.
func Open(ctx context.Context, config Config) (*Keeper, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Every == 0 {
		config.Every = DefaultEvery
	}
	k := &Keeper{config: config}
	if err := k.open(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Keeper) open(ctx context.Context) (err error) {
	if k.key, err = EnsureKey(k.config.Dir); err != nil {
		return err
	}
	for _, stream := range append([]*eventlog.Stream{k.config.Usage}, k.config.Streams...) {
		s := &kept{stream: stream}
		k.kept = append(k.kept, s)
		if stream == k.config.Usage {
			s.maker = &usage{store: k.config.Store, partition: k.config.Partition}
		} else {
			s.maker = plain{stream}
		}
		name := stream.Name()
		if s.log, err = tiles.Open(LogDir(k.config.Dir, name), k.key.Origin(LogName(name)), k.key); err != nil {
			return fmt.Errorf("log of %s: %w", name, err)
		}
		size := s.log.Size()
		if err := k.older(s); err != nil {
			return err
		}
		if s.archive, err = archive.Open(ArchiveDir(k.config.Dir, name), name, size); err != nil {
			return differs(err)
		}
		if s.ahead, err = compare(ctx, stream, s.log, size, ArchiveDir(k.config.Dir, name), s.archive.Last()); err != nil {
			return err
		}
	}
	return nil
}

// Key signs the logs.
func (k *Keeper) Key() *tlog.Key { return k.key }

// Err is why the keeper has stopped; nil while it has not.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Run keeps until ctx ends, or until something differs or cannot be written:
// then every loop stops, and the error is also what [Keeper.Err] gives.
func (k *Keeper) Run(ctx context.Context) error {
	group, loops := errgroup.WithContext(ctx)
	for _, s := range k.kept {
		group.Go(func() error { return k.loop(loops, s) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = fmt.Errorf("keeping the second copy and the logs: %w", err)
	k.mu.Lock()
	k.err = err
	k.mu.Unlock()
	return err
}

// Wait returns when everything that is committed at its call is signed, or with
// the error that stopped the keeper. It may be called from any goroutine while
// the keeper runs.
func (k *Keeper) Wait(ctx context.Context) error {
	ticker := time.NewTicker(k.config.Every / 4)
	defer ticker.Stop()
	for _, s := range k.kept {
		committed, err := s.maker.committed(ctx)
		if err != nil {
			return err
		}
		for {
			if err := k.Err(); err != nil {
				return err
			}
			c, _, err := s.log.Reader().Checkpoint()
			if err != nil {
				return err
			}
			if c.Size >= committed {
				break
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// Close closes the archives, after Run has returned.
func (k *Keeper) Close() error {
	var problems []error
	for _, s := range k.kept {
		if s.archive != nil {
			problems = append(problems, s.archive.Close())
		}
	}
	return errors.Join(problems...)
}

// Handler serves every log below /tlog/<log>/ as C2SP tlog-tiles has it.
func (k *Keeper) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, s := range k.kept {
		prefix := "/tlog/" + LogName(s.stream.Name())
		mux.Handle("GET "+prefix+"/", http.StripPrefix(prefix, s.log.Handler()))
	}
	return mux
}

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
