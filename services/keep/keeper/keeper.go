// Package keeper keeps, beside the streams, what proves them: of every stream a
// second copy of its messages and a signed, append-only log of their hashes.
//
// The method: one loop a stream reads on from where its log ends, writes each
// message to the archive, appends its leaf to the log and signs a checkpoint,
// in this order and at most four times a second. Of usage the settler tells it
// each message while it is decoded ([Keeper.Seen]), so that events are hashed
// where they lie; what it has missed it reads itself. Start is recovery: the ends of
// stream, archive and log are compared first, and whoever settles starts only
// when they agree ([Open]). What an interrupted round left in the archive, or
// what the log knows and a restored database has to derive again, is compared
// and not written a second time.
//
// # Invariants
//
//   - An observer: nothing waits for the keeper but declarations, which carry
//     roots of the logs, and its failure stops nothing else. [Keeper.Err] tells
//     it. The keeper waits for no witness.
//   - Signed after the commit: a usage leaf is made only of what the settler has
//     committed, with the outcomes of the store.
//   - Synced before signed: a checkpoint covers only messages whose second copy
//     and leaf are on disk.
//   - Never against itself: where a message, its copy and its leaf differ, the
//     keeper stops with a [Difference] and signs nothing.
package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
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
	// Usage is the stream of one partition's usage, More those of further ones.
	Usage *eventlog.Stream
	More  []*eventlog.Stream
	// Streams are the others.
	Streams []*eventlog.Stream
	Store   Store
	// Witnesses are asked for cosignatures of every checkpoint, those that have a
	// URL. What they answer, or that they don't, changes nothing else.
	Witnesses []tlog.PolicyWitness
	// Every is how often; 0 means DefaultEvery. Longer, and more is unproved
	// for longer; shorter, and the disk syncs more often.
	Every time.Duration
	// Logger is told what operators must know; nil: slog.Default.
	Logger *slog.Logger
	// Meter shows how far everything is signed; nil shows nothing.
	Meter metric.Meter
}

// LogName is a stream's name as its log and its folders have it.
func LogName(stream string) string { return strings.ToLower(stream) }

// ArchiveDir is where a stream's second copy is, below an installation's folder.
func ArchiveDir(dir, stream string) string { return filepath.Join(dir, "archive", LogName(stream)) }

// LogDir is where a stream's log is, below an installation's folder.
func LogDir(dir, stream string) string { return filepath.Join(dir, "tlog", LogName(stream)) }

// Keeper is the running loops. Make it with [Open].
type Keeper struct {
	config  Config
	key     *tlog.Key
	keys    *tlog.Succession
	kept    []*kept
	windows map[string]*window // of usage, by subject; as it is opened, never changed later

	watched metric.Registration

	mu  sync.Mutex // guards what follows
	err error
}

// kept is one stream and what is kept of it.
type kept struct {
	stream  *eventlog.Stream
	log     *tiles.Log
	archive *archive.Archive
	maker   maker
	window  *window           // of usage; nil for other streams
	reader  *eventlog.Reader  // what the window does not have comes from here; nil while it is not needed
	reads   uint64            // the position that comes next from reader
	ahead   []archive.Message // in the archive behind the log's end, without data
}

// maker makes leaves. committed is how far they can be made now.
type maker interface {
	committed(ctx context.Context) (uint64, error)
	leaves(ctx context.Context, items []item) ([][]byte, error)
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
	k := &Keeper{config: config, windows: map[string]*window{}}
	if err := k.open(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Keeper) open(ctx context.Context) (err error) {
	if k.key, k.keys, err = EnsureKeys(k.config.Dir); err != nil {
		return err
	}
	for _, stream := range slices.Concat([]*eventlog.Stream{k.config.Usage}, k.config.More, k.config.Streams) {
		s := &kept{stream: stream}
		k.kept = append(k.kept, s)
		if partition, ok := eventlog.PartitionOf(stream.Name()); ok {
			s.maker, s.window = &usage{store: k.config.Store, partition: partition}, new(window)
			k.windows[eventlog.UsageSubject(uint32(partition))] = s.window
		} else {
			s.maker = plain{stream}
		}
		name := stream.Name()
		if s.log, err = tiles.Open(LogDir(k.config.Dir, name), k.keys.Origin(LogName(name)), k.key); err != nil {
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
	return k.watch(k.config.Meter)
}

// Key signs the logs.
func (k *Keeper) Key() *tlog.Key { return k.key }

// Keys verify them, and what was signed by the keys before.
func (k *Keeper) Keys() *tlog.Succession { return k.keys }

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
		if c := newCourier(k, s); c != nil {
			group.Go(func() error { c.run(loops); return nil })
		}
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
	for _, s := range k.kept {
		committed, err := s.maker.committed(ctx)
		if err != nil {
			return err
		}
		err = retry.Until(ctx, k.config.Every/4, func() (bool, error) {
			if err := k.Err(); err != nil {
				return false, err
			}
			c, _, err := s.log.Reader().Checkpoint()
			return c.Size >= committed, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close closes the archives, after Run has returned.
func (k *Keeper) Close() error {
	var problems []error
	if k.watched != nil {
		problems = append(problems, k.watched.Unregister())
	}
	for _, s := range k.kept {
		if s.archive != nil {
			problems = append(problems, s.archive.Close())
		}
	}
	return errors.Join(problems...)
}

// Handler serves every log below /tlog/<log>/ as C2SP tlog-tiles has it, and
// what a [witness.Puller] asks first.
func (k *Keeper) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tlog/index.json", k.serveIndex)
	for _, s := range k.kept {
		prefix := "/tlog/" + LogName(s.stream.Name())
		mux.Handle("GET "+prefix+"/", http.StripPrefix(prefix, s.log.Handler()))
	}
	return mux
}

// serveIndex says which logs there are, and whose they are.
func (k *Keeper) serveIndex(w http.ResponseWriter, _ *http.Request) {
	index := tlog.Index{Installation: k.keys.Installation(), Key: k.key.Public().String()}
	for _, note := range k.keys.Notes() {
		index.Handovers = append(index.Handovers, string(note))
	}
	index.Logs = k.Logs()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_ = json.NewEncoder(w).Encode(index) // A client that went away.
}
