package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store/database"
	"github.com/aliquot-engine/aliquot/internal/store/ids"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Beside is damage to something in the folder that is no stream with a log.
type Beside struct {
	Name    string `json:"name" doc:"File or folder, or the stream REFUSED."`
	Problem string `json:"problem"`
	// Settled says that settling mends it, as every start does.
	Settled bool `json:"settled,omitempty" doc:"The next start mends it."`

	restore func(ctx context.Context, aside string) (did string, err error)
}

// Error names what is damaged in one line.
func (b *Beside) Error() string { return b.Name + ": " + b.Problem }

// ExamineBeside looks at what stands beside the streams that have logs: the
// ledger's file, the indexes of identities, the refused submissions and the key
// that verifies the logs. list is what [Folder.Examine] found.
func (f *Folder) ExamineBeside(ctx context.Context, list []*Examination) (found []*Beside, err error) {
	found = f.besideKeys()
	ledger, err := f.besideLedger(ctx, list)
	if err != nil {
		return nil, err
	}
	if ledger != nil {
		found = append(found, ledger)
	}
	for _, e := range list {
		b, err := f.besideIDs(ctx, e)
		if err != nil {
			return nil, err
		}
		if b != nil {
			found = append(found, b)
		}
	}
	if _, err := f.log.Refused(ctx); errors.Is(err, eventlog.ErrDamaged) {
		found = append(found, &Beside{Name: eventlog.RefusedStream, Problem: "not recoverable by the server", restore: f.emptyRefused})
	} else if err != nil {
		return nil, err
	}
	return found, nil
}

// RestoreBeside repairs what [Folder.ExamineBeside] found, in the name of an
// actor: what is damaged is put aside, and made anew here or by the next start.
func (f *Folder) RestoreBeside(ctx context.Context, found []*Beside, actor string, now time.Time) (done []Restored, err error) {
	var problems []error
	for _, b := range found {
		if b.restore == nil {
			if !b.Settled {
				problems = append(problems, fmt.Errorf("restoring %w", b))
			}
			continue
		}
		did, err := b.restore(ctx, f.aside(now))
		if err != nil {
			problems = append(problems, fmt.Errorf("restoring %s: %w", b.Name, err))
			continue
		}
		r := Restored{Time: now.UTC(), Actor: actor, Stream: b.Name, Did: did, Reasons: []*Difference{{Stream: b.Name, Side: SideBeside, Problem: b.Problem}}}
		if err := f.note(r); err != nil {
			return done, err
		}
		done = append(done, r)
	}
	return done, errors.Join(problems...)
}

// besideKeys compares the two halves of the log key.
func (f *Folder) besideKeys() (found []*Beside) {
	name := func(file string) string { return filepath.Join("keys", filepath.Base(file)) }
	if f.private == nil {
		found = append(found, &Beside{Name: name(PrivateKeyFile(f.dir)), Problem: "missing or damaged, and nothing else has it: put it back from a backup"})
	}
	public, err := ReadPublicKey(f.dir)
	switch {
	case f.private == nil:
	case err != nil:
		found = append(found, &Beside{Name: name(PublicKeyFile(f.dir)), Problem: "missing or damaged", restore: f.rewritePublic})
	case public.String() != f.private.Public().String():
		found = append(found, &Beside{Name: name(PublicKeyFile(f.dir)), Problem: "it is not the public half of the key that signs the logs", restore: f.rewritePublic})
	}
	return found
}

func (f *Folder) rewritePublic(_ context.Context, _ string) (string, error) {
	err := durable.Replace(PublicKeyFile(f.dir), []byte(f.private.Public().String()+"\n"), 0o644, nil)
	return "it was written again: the public half of the key that signs the logs", err
}

// besideLedger looks at the file of the ledger. What it says of usage is compared
// with the logs by [Folder.Examine].
func (f *Folder) besideLedger(ctx context.Context, list []*Examination) (*Beside, error) {
	b := &Beside{Name: database.File, restore: f.emptyLedger}
	if f.url != "" {
		b.Name, b.restore = "the database", nil
	}
	switch {
	case f.unopen != nil:
		b.Problem = f.unopen.Error()
		return b, nil
	case f.url == "":
		if err := database.Integrity(f.dir); err != nil {
			b.Problem = err.Error()
			return b, nil
		}
	}
	if err := f.store.CursorsWhole(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		b.Problem = err.Error()
		return b, nil
	}
	for _, e := range list {
		if b.Problem = f.otherMessage(ctx, e); b.Problem != "" {
			return b, nil
		}
		for _, d := range e.of(SideStore) {
			if d.Problem == otherOutcomes {
				b.Problem = d.Error()
				return b, nil
			}
		}
	}
	return nil, nil
}

// otherMessage says that the cursor of a partition does not know the message where
// it is, in a stream that is whole; empty where it does.
func (f *Folder) otherMessage(ctx context.Context, e *Examination) string {
	if e.partition < 0 || e.stream == nil || e.Damage() != Whole {
		return ""
	}
	c, err := f.store.Cursor(ctx, e.partition)
	if err != nil || c.Position == 0 {
		return ""
	}
	m, err := e.stream.Get(ctx, c.Position)
	if err != nil || hashOf(m.Data) == tlog.Hash(c.Hash) {
		return ""
	}
	return fmt.Sprintf("the cursor of partition %d is at %d, and knows another message than %s has there", e.partition, c.Position, e.Stream)
}

func (f *Folder) emptyLedger(ctx context.Context, aside string) (string, error) {
	if f.store != nil {
		if err := f.store.Close(); err != nil && f.unopen == nil {
			f.logger.Warn("closing the damaged ledger", "cause", err)
		}
		f.store = nil
	}
	if err := durable.MakeFolder(aside, 0o700); err != nil {
		return "", err
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		err := os.Rename(filepath.Join(f.dir, database.File+suffix), filepath.Join(aside, database.File+suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	f.unopen = nil
	if err := f.openStore(ctx); err != nil {
		return "", err
	}
	return "the damaged file was put aside: everything is settled again from the streams, and compared with what was published and signed", f.unopen
}

// besideIDs looks at the index of a partition's identities, whatever else is
// damaged: a start needs it.
func (f *Folder) besideIDs(ctx context.Context, e *Examination) (*Beside, error) {
	if e.partition < 0 || f.url != "" {
		return nil, nil
	}
	dir := ids.Dir(f.dir, e.partition)
	b := &Beside{Name: filepath.Base(dir), Settled: true}
	watermark, err := ids.Examine(ctx, dir)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	absent := errors.Is(err, ids.ErrAbsent)
	if err != nil && !absent {
		b.Problem, b.Settled, b.restore = err.Error(), false, f.putIndexAside(dir)
		return b, nil
	}
	if f.store == nil {
		return nil, nil
	}
	c, err := f.store.Cursor(ctx, e.partition)
	switch {
	case err != nil || watermark >= c.Position:
		return nil, nil //nolint:nilerr // a damaged ledger is told elsewhere
	case absent:
		b.Problem = "missing"
	default:
		b.Problem = fmt.Sprintf("it has the identities up to %d, and the ledger those up to %d", watermark, c.Position)
	}
	return b, nil
}

func (f *Folder) putIndexAside(dir string) func(context.Context, string) (string, error) {
	return func(_ context.Context, aside string) (string, error) {
		if err := durable.MakeFolder(aside, 0o700); err != nil {
			return "", err
		}
		if err := os.Rename(dir, filepath.Join(aside, filepath.Base(dir))); err != nil {
			return "", err
		}
		return "the damaged index was put aside: it is read again from the stream", durable.SyncFolder(f.dir)
	}
}

func (f *Folder) emptyRefused(ctx context.Context, aside string) (string, error) {
	if err := f.putStreamsAside(ctx, []string{eventlog.RefusedStream}, aside); err != nil {
		return "", err
	}
	if _, err := f.log.Refused(ctx); err != nil {
		return "", err
	}
	return "it was made anew, empty: refused submissions have no second copy, and no figure rests on them", nil
}

// Behind tells whether the ledger or an index beside it has yet to be settled, as
// every start does.
func Behind(list []*Examination, found []*Beside) bool {
	for _, b := range found {
		if b.Settled {
			return true
		}
	}
	for _, e := range list {
		for _, d := range e.of(SideStore) {
			if d.Problem != otherOutcomes {
				return true
			}
		}
	}
	return false
}
