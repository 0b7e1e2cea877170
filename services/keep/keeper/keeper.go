// Package keeper keeps the proof of every stream beside it: a second copy of its
// messages, and a signed, append-only log of their hashes.
//
// The method: one loop for each stream reads on from the end of the stream's log,
// writes each message to the archive, appends its leaf to the log and signs a
// checkpoint, in this order and at most four times a second. The settler passes
// each usage message to the keeper while it decodes it ([Keeper.Seen]), so that
// events are hashed while they are in memory; the keeper reads messages itself
// that it did not get in this way. Start and recovery are the same: the ends of
// stream, archive and log are compared first, and settling starts only when they
// agree ([Open]). Messages that an interrupted round has already archived, and
// leaves that a restored database derives again, are compared and not written a
// second time.
//
// # Invariants
//
//   - An observer: only declarations wait for the keeper, because they carry
//     roots of the logs. Its failure stops nothing else; [Keeper.Err] reports it.
//     The keeper waits for no witness.
//   - Signed after the commit: a usage leaf is made only of what the settler has
//     committed, with the outcomes in the store.
//   - Synced before signed: a checkpoint covers only messages whose second copy
//     and leaf are on disk.
//   - Never against itself: if a message, its copy and its leaf differ, the
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
	// DefaultEvery is how often a stream is read, and the shortest time between
	// two checkpoints of its log.
	DefaultEvery = 250 * time.Millisecond

	// perRound and roundBytes limit how much one round holds in memory.
	perRound   = 4000
	roundBytes = 16 << 20
)

// Store has the outcomes of usage. Cursor returns up to which position a
// partition is committed. Outcomes calls each, in ascending order, for every
// batch committed between two positions.
type Store interface {
	Cursor(ctx context.Context, partition int) (settlement.Cursor, error)
	Outcomes(ctx context.Context, partition int, from, to uint64, each func(settlement.Outcome) error) error
}

// Config says what to keep and where to keep it.
type Config struct {
	// Dir is the installation's folder; see [Folders].
	Dir string
	// Usage are the streams of usage, one for each partition.
	Usage []*eventlog.Stream
	// Streams are all streams that are not usage.
	Streams []*eventlog.Stream
	Store   Store
	// Witnesses are asked to cosign every checkpoint, if they have a URL. Whether
	// and what they answer affects nothing else.
	Witnesses []tlog.PolicyWitness
	// Every is the time between two rounds; 0 means DefaultEvery. With a longer
	// time usage stays unproved for longer; with a shorter one the disk syncs
	// more often.
	Every time.Duration
	// Logger receives what operators must know; nil means slog.Default.
	Logger *slog.Logger
	// Meter shows how far everything is signed; nil shows nothing.
	Meter metric.Meter
}

// LogName is the name of a stream's log and of its folders.
func LogName(stream string) string { return strings.ToLower(stream) }

// ArchiveDir is the folder of a stream's second copy, below an installation's
// folder.
func ArchiveDir(dir, stream string) string { return filepath.Join(dir, "archive", LogName(stream)) }

// LogDir is the folder of a stream's log, below an installation's folder.
func LogDir(dir, stream string) string { return filepath.Join(dir, "tlog", LogName(stream)) }

// Keeper runs the loops. Make it with [Open].
type Keeper struct {
	config  Config
	key     *tlog.Key
	keys    *tlog.Succession
	kept    []*kept
	windows map[string]*window // of usage, by subject; set by Open and never changed later

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
	reader  *eventlog.Reader  // reads messages that the window does not have; nil while not needed
	reads   uint64            // the position that reader returns next
	ahead   []archive.Message // messages in the archive after the end of the log, without data
}

// maker makes leaves. committed is the position up to which they can be made now.
type maker interface {
	committed(ctx context.Context) (uint64, error)
	leaves(ctx context.Context, items []item) ([][]byte, error)
}

// Open opens logs and archives, or creates them, and compares their ends with the
// streams. Its error is one line that names the stream and the position; a
// [Difference] means that the stream and what is kept of it do not agree.
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
	for _, stream := range slices.Concat(k.config.Usage, k.config.Streams) {
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

// Keys returns the keys that verify the logs: the current one and those before
// it.
func (k *Keeper) Keys() *tlog.Succession { return k.keys }

// Err returns why the keeper has stopped, or nil if it has not.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Run keeps until ctx ends, or until something differs or cannot be written. Then
// every loop stops, and [Keeper.Err] returns the same error.
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

// Wait returns when everything that was committed at the time of the call is
// signed, or with the error that stopped the keeper. Any goroutine may call it
// while the keeper runs.
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

// Close closes the archives. Run must have returned.
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

// Handler serves every log below /tlog/<log>/ as C2SP tlog-tiles defines it, and
// the index that a [witness.Puller] reads first.
func (k *Keeper) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tlog/index.json", k.serveIndex)
	for _, s := range k.kept {
		prefix := "/tlog/" + LogName(s.stream.Name())
		mux.Handle("GET "+prefix+"/", http.StripPrefix(prefix, s.log.Handler()))
	}
	return mux
}

// serveIndex says which logs there are and which keys sign them.
func (k *Keeper) serveIndex(w http.ResponseWriter, _ *http.Request) {
	index := tlog.Index{Installation: k.keys.Installation(), Key: k.key.Public().String()}
	for _, note := range k.keys.Notes() {
		index.Handovers = append(index.Handovers, string(note))
	}
	index.Logs = k.Logs()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_ = json.NewEncoder(w).Encode(index) // An error means that the client has gone.
}
