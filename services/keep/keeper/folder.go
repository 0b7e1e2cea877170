package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/database"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// Kept lists the streams that a keeper keeps, or will keep, in a folder. This
// includes the usage of partition 0 and of every other partition that has a
// second copy.
func Kept(dir string) []string {
	list := []string{eventlog.UsageStream(0, 0)}
	copies, _ := filepath.Glob(ArchiveDir(dir, "usage-*")) // the pattern is valid
	for _, folder := range copies {
		name := strings.ToUpper(filepath.Base(folder))
		if _, ok := eventlog.PartitionOf(name); ok && name != list[0] {
			list = append(list, name)
		}
	}
	return append(list, eventlog.ControlStream, eventlog.RegisterStream, eventlog.LedgerStream, eventlog.PayoutStream)
}

// Folder is an installation's folder while nothing runs on it.
type Folder struct {
	dir    string
	url    string // of the database; empty means ledger.db
	logger *slog.Logger
	key    *tlog.Succession
	log    *eventlog.Log

	private *tlog.Key // nil if it is lost
	store   *store.DB // nil if it cannot be opened
	unopen  error     // the reason
}

// OpenFolder opens the folder with the database that has its ledger; "" means
// ledger.db. If another process uses the folder, the error names it. The caller
// closes the folder.
func OpenFolder(ctx context.Context, dir, databaseURL string, logger *slog.Logger) (*Folder, error) {
	f := &Folder{dir: dir, url: databaseURL, logger: logger}
	if err := f.open(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Folder) open(ctx context.Context) (err error) {
	if err := f.openKeys(); err != nil {
		return err
	}
	if err := f.openLog(ctx); err != nil {
		return err
	}
	f.finishRotation()
	return f.openStore(ctx)
}

// openKeys reads what verifies the logs: the public half of the key, or, if that
// is lost, the public half that the private key gives.
func (f *Folder) openKeys() error {
	text, err := os.ReadFile(PrivateKeyFile(f.dir))
	if err == nil {
		f.private, err = tlog.ParseKey(string(text))
	}
	var public *tlog.PublicKey
	if err == nil {
		public = f.private.Public()
	} else if public, err = ReadPublicKey(f.dir); err != nil {
		return err
	}
	f.key, err = Follow(f.dir, public)
	return err
}

// finishRotation completes a key rotation that was interrupted. The folder is
// locked. If a log is damaged, this is left for later.
func (f *Folder) finishRotation() {
	if f.private == nil {
		return
	}
	if key, keys, err := EnsureKeys(f.dir); err == nil {
		f.private, f.key = key, keys
	}
}

func (f *Folder) openStore(ctx context.Context) (err error) {
	if f.store, err = database.Open(ctx, f.dir, f.url, f.logger); err == nil {
		return nil
	}
	if f.url != "" {
		return err
	}
	f.store, f.unopen = nil, err // The file can be derived again: see [Folder.besideLedger].
	return nil
}

func (f *Folder) openLog(ctx context.Context) (err error) {
	f.log, err = eventlog.Open(ctx, eventlog.Config{Dir: filepath.Join(f.dir, "streams"), Logger: f.logger})
	return err
}

// Close releases the folder.
func (f *Folder) Close() error {
	var problems []error
	if f.store != nil {
		problems = append(problems, f.store.Close())
	}
	if f.log != nil {
		problems = append(problems, f.log.Close())
	}
	return errors.Join(problems...)
}

func (f *Folder) stream(ctx context.Context, name string) (*eventlog.Stream, error) {
	switch name {
	case eventlog.ControlStream:
		return f.log.Control(ctx)
	case eventlog.RegisterStream:
		return f.log.Register(ctx)
	case eventlog.LedgerStream:
		return f.log.Ledger(ctx)
	case eventlog.PayoutStream:
		return f.log.Payout(ctx)
	}
	partition, _ := eventlog.PartitionOf(name)
	return f.log.Usage(ctx, uint32(partition), 0)
}

// Examine compares every position of every stream. A stream that the server
// cannot recover at all is reported as a difference like any other.
func (f *Folder) Examine(ctx context.Context) (list []*Examination, err error) {
	for _, name := range Kept(f.dir) {
		e, err := f.examine(ctx, name)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func (f *Folder) examine(ctx context.Context, name string) (*Examination, error) {
	partition, usage := eventlog.PartitionOf(name)
	stream, err := f.stream(ctx, name)
	if errors.Is(err, eventlog.ErrDamaged) {
		e := &Examination{Stream: name, dir: ArchiveDir(f.dir, name), partition: -1}
		if usage {
			e.partition = partition
		}
		if e.Archived, err = archive.Last(e.dir, name); err != nil {
			return nil, err
		}
		e.openLog(Examined{Dir: f.dir, Key: f.key})
		e.add(&Difference{First: 1, Last: max(e.Archived, e.Logged, 1), Side: SideStream, Problem: "the server cannot recover it"})
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	in := Examined{Dir: f.dir, Stream: stream, Key: f.key, Usage: usage, Partition: partition}
	if f.store != nil {
		in.Store = f.store
	}
	return Examine(ctx, in)
}

// Restored is what was done to a stream. It is kept in archive/restored.jsonl.
type Restored struct {
	Time     time.Time     `json:"time"`
	Actor    string        `json:"actor"`
	Stream   string        `json:"stream"`
	Anew     bool          `json:"anew" doc:"The stream was made again; the damaged one is in the folder damaged."`
	Copy     bool          `json:"copy" doc:"The second copy was written again; the damaged files are in the folder damaged."`
	Log      bool          `json:"log,omitempty" doc:"The log was written again; the damaged one is in the folder damaged."`
	Root     string        `json:"root,omitempty" doc:"The signed root to which the leaves of the new log hash."`
	Messages uint64        `json:"messages" doc:"Number of messages published from the second copy, or written to it or to the log."`
	Did      string        `json:"did" doc:"What was done, in words."`
	Reasons  []*Difference `json:"reasons,omitempty"`
}

// Restore repairs what was examined, in the name of an actor. It works in this
// order: logs from second copies and streams, if the rebuilt root is the signed
// one; second copies from their streams; streams from their second copies. If
// only the end of a stream is missing, that is published again. Otherwise the
// damaged stream is moved aside and made again with the same messages at the same
// positions, and the cursors in it are updated.
//
// The log decides what a message was. If a log cannot be rebuilt, or a position
// is damaged on both sides, nothing of that stream is changed: the other streams
// are restored, and the error says what could not be. The log of usage that the
// store has not settled yet fails with [ErrUnsettled] until it is settled; its
// stream is restored meanwhile.
func (f *Folder) Restore(ctx context.Context, list []*Examination, actor string, now time.Time) (done []Restored, err error) {
	var problems []error
	var able []*Examination
	aside := f.aside(now)
	noted := func(r *Restored) error {
		if r == nil {
			return nil
		}
		r.Time, r.Actor = now.UTC(), actor
		done = append(done, *r)
		return f.note(*r)
	}
	for i, e := range list {
		r, err := f.relog(ctx, e, aside)
		if err := noted(r); err != nil {
			return done, err
		}
		if r != nil {
			if e, err = f.examine(ctx, e.Stream); err != nil {
				return done, err
			}
			list[i] = e
		}
		if err != nil {
			problems = append(problems, err)
			if !errors.Is(err, ErrUnsettled) || e.copyDamaged() {
				continue
			}
			// The second copy has checksums of its own, and the root proves later
			// that it was right.
			e.Differences = slices.DeleteFunc(e.Differences, func(d *Difference) bool { return d.Side == SideLog })
		}
		r, err = f.mend(ctx, e, aside)
		if err == nil && e.Damage() != Whole {
			err = e.Restorable()
		}
		if err := noted(r); err != nil {
			return done, err
		}
		if err == nil && e.Damage() == Altered && e.stream != nil {
			err = e.Save(ctx)
		}
		switch {
		case err != nil:
			problems = append(problems, err)
		case e.Damage() != Whole:
			able = append(able, e)
		}
	}
	if err := f.putAside(ctx, able, aside); err != nil {
		return done, err
	}
	for _, e := range able {
		stream, err := f.stream(ctx, e.Stream)
		if err != nil {
			return done, err
		}
		r := &Restored{Stream: e.Stream, Anew: e.Damage() == Altered, Reasons: e.Differences}
		if r.Messages, err = Restore(ctx, stream, f.dir); err != nil {
			return done, err
		}
		r.Did = fmt.Sprintf("its end was published again from the second copy: %d messages", r.Messages)
		if r.Anew {
			r.Did = fmt.Sprintf("it was made again from the second copy: %d messages", r.Messages)
		}
		if err := noted(r); err != nil {
			return done, err
		}
	}
	return done, errors.Join(problems...)
}

// aside returns the folder to which damaged files of this time are moved.
func (f *Folder) aside(now time.Time) string {
	return filepath.Join(f.dir, "damaged", now.UTC().Format("20060102T150405.000000000Z"))
}

// mend writes a damaged second copy again; it returns nil if the copy is whole.
func (f *Folder) mend(ctx context.Context, e *Examination, aside string) (*Restored, error) {
	reasons := e.of(SideArchive)
	if len(reasons) == 0 {
		return nil, nil
	}
	if err := e.mendable(); err != nil {
		return nil, err
	}
	taken, err := e.mend(ctx, aside)
	if err != nil {
		return nil, fmt.Errorf("restoring %s: %w", e.Stream, err)
	}
	return &Restored{Stream: e.Stream, Copy: true, Messages: taken, Reasons: reasons,
		Did: fmt.Sprintf("its second copy was written again, %d of its messages from the stream", taken)}, nil
}

// Rebind tells the cursors where they are in the streams that are whole again.
// list must describe the state after [Folder.Restore].
func (f *Folder) Rebind(ctx context.Context, list []*Examination) error {
	if f.store == nil {
		return nil
	}
	for _, e := range list {
		if e.Damage() != Whole || e.stream == nil {
			continue
		}
		created := e.stream.Created().UnixNano()
		var err error
		switch e.Stream {
		case eventlog.ControlStream:
			err = f.store.RebindControl(ctx, created)
		case eventlog.LedgerStream:
			err = f.store.RebindLedger(ctx, created)
		default:
			err = f.store.RebindUsage(ctx, e.Stream, created)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putAside moves streams that are to be made again out of the server's folder
// while the server is stopped.
func (f *Folder) putAside(ctx context.Context, list []*Examination, aside string) error {
	var names []string
	for _, e := range list {
		if e.Damage() == Altered {
			names = append(names, e.Stream)
		}
	}
	return f.putStreamsAside(ctx, names, aside)
}

func (f *Folder) putStreamsAside(ctx context.Context, names []string, aside string) error {
	if len(names) == 0 {
		return nil
	}
	if err := f.log.Close(); err != nil {
		return err
	}
	f.log = nil
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		from := filepath.Join(f.dir, "streams", "jetstream", "$G", "streams", name)
		if err := os.Rename(from, filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("moving the damaged %s aside: %w", name, err)
		}
	}
	return f.openLog(ctx)
}

// note appends to the list of what was restored.
func (f *Folder) note(r Restored) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "archive"), 0o700); err != nil {
		return fmt.Errorf("noting what was restored: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, "archive", "restored.jsonl"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("noting what was restored: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("noting what was restored: %w", err)
	}
	return nil
}

// ReadPublicKey reads the key that verifies an installation's logs.
func ReadPublicKey(dir string) (*tlog.PublicKey, error) {
	text, err := os.ReadFile(PublicKeyFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the public log key: there are no logs in %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the public log key: %w", err)
	}
	return tlog.ParsePublicKey(string(text))
}
