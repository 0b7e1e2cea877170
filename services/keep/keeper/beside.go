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

// Beside is damage to something in the folder other than a stream with a log.
type Beside struct {
	Name    string `json:"name" doc:"File or folder, or the stream REFUSED."`
	Problem string `json:"problem"`
	// Settled says that the next start repairs it by settling again.
	Settled bool `json:"settled,omitempty" doc:"The next start repairs it."`

	restore func(ctx context.Context, aside string) (did string, err error)
}

// Error names what is damaged in one line.
func (b *Beside) Error() string { return b.Name + ": " + b.Problem }

// ExamineBeside examines what is kept beside the streams that have logs: the
// ledger's file, the indexes of identities, the refused submissions and the key
// that verifies the logs. list is the result of [Folder.Examine].
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
		found = append(found, &Beside{Name: eventlog.RefusedStream, Problem: "the server cannot recover it", restore: f.emptyRefused})
	} else if err != nil {
		return nil, err
	}
	return found, nil
}

// RestoreBeside repairs what [Folder.ExamineBeside] found, in the name of an
// actor. It moves what is damaged aside and makes it again, or leaves that to the
// next start.
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
		found = append(found, &Beside{Name: name(PrivateKeyFile(f.dir)), Problem: "missing or damaged, and there is no other copy of it: restore it from a backup"})
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
	return "it was written again with the public half of the key that signs the logs", err
}

// besideLedger examines the file of the ledger. [Folder.Examine] compares its
// content about usage with the logs.
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

// otherMessage describes a cursor whose message differs from the one at its
// position in a stream that is whole; it returns "" if they agree.
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
	return fmt.Sprintf("the cursor of partition %d is at %d, but the message that it read there is not the one in %s", e.partition, c.Position, e.Stream)
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
	return "the damaged file was moved aside: everything is settled again from the streams and compared with what was published and signed", f.unopen
}

// besideIDs examines the index of a partition's identities. It does so whatever
// else is damaged, because a start needs the index.
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
		return nil, nil //nolint:nilerr // a damaged ledger is reported by besideLedger
	case absent:
		b.Problem = "missing"
	default:
		b.Problem = fmt.Sprintf("it has the identities up to position %d, but the ledger is settled up to %d", watermark, c.Position)
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
		return "the damaged index was moved aside: it is built again from the stream", durable.SyncFolder(f.dir)
	}
}

func (f *Folder) emptyRefused(ctx context.Context, aside string) (string, error) {
	if err := f.putStreamsAside(ctx, []string{eventlog.RefusedStream}, aside); err != nil {
		return "", err
	}
	if _, err := f.log.Refused(ctx); err != nil {
		return "", err
	}
	return "it was made again, empty: refused submissions have no second copy, and no figure depends on them", nil
}

// Behind reports whether the ledger or an index beside it still has to be
// settled, which the next start does.
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
