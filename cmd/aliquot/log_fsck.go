package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

type logFsckCommand struct {
	Restore bool `help:"Repair what can be derived: logs, streams and second copies from each other, the ledger and its indexes from the streams; needs --as. The damaged files are kept in the folder damaged."`
}

// examined is the output of log fsck.
type examined struct {
	OK       bool                  `json:"ok"`
	Streams  []*keeper.Examination `json:"streams"`
	Beside   []*keeper.Beside      `json:"beside,omitempty" doc:"Damage to anything except the streams with a log."`
	Restored []keeper.Restored     `json:"restored,omitempty"`
}

func (c *logFsckCommand) Run(ctx context.Context, r *root) (err error) {
	if c.Restore && r.As == "" {
		return misused("--restore changes the streams: name the person who decides with --as")
	}
	f := &fsck{root: r}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.examine(ctx); err != nil {
		return err
	}
	var lost error // what could not be restored
	if c.Restore {
		if lost, err = f.restore(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(r.print(f.done, f.done.text), lost); err != nil {
		return err
	}
	if !f.done.OK {
		return errFalse
	}
	return nil
}

// fsck is one run of log fsck.
type fsck struct {
	root   *root
	folder *keeper.Folder
	done   examined
}

func (f *fsck) close() error {
	if f.folder == nil {
		return nil
	}
	folder := f.folder
	f.folder = nil
	return folder.Close()
}

func (f *fsck) examine(ctx context.Context) (err error) {
	if f.folder == nil {
		if f.folder, err = keeper.OpenFolder(ctx, f.root.Data, f.root.DatabaseURL, quietLogger()); err != nil {
			return err
		}
	}
	if f.done.Streams, err = f.folder.Examine(ctx); err != nil {
		return err
	}
	if f.done.Beside, err = f.folder.ExamineBeside(ctx, f.done.Streams); err != nil {
		return err
	}
	f.done.OK = len(f.done.Beside) == 0
	for _, e := range f.done.Streams {
		f.done.OK = f.done.OK && e.OK()
	}
	return nil
}

// restore repairs what was examined. A log of usage may need outcomes that were
// lost with the ledger. In that case the ledger is settled again in between,
// and its outcomes are compared with the signed root.
func (f *fsck) restore(ctx context.Context) (lost, err error) {
	for settled := false; ; settled = true {
		if lost, err = f.mend(ctx); err != nil {
			return lost, err
		}
		unsettled := errors.Is(lost, keeper.ErrUnsettled)
		if settled || lost != nil && !unsettled || !unsettled && !keeper.Behind(f.done.Streams, f.done.Beside) {
			return lost, nil
		}
		if err := f.settle(ctx, unsettled); err != nil {
			return errors.Join(lost, err), f.examine(ctx)
		}
		if err := f.examine(ctx); err != nil {
			return lost, err
		}
	}
}

// mend restores once, and examines the result.
func (f *fsck) mend(ctx context.Context) (lost, err error) {
	now := time.Now()
	done, lost := f.folder.Restore(ctx, f.done.Streams, f.root.As, now)
	f.done.Restored = append(f.done.Restored, done...)
	beside, missing := f.folder.RestoreBeside(ctx, f.done.Beside, f.root.As, now)
	f.done.Restored = append(f.done.Restored, beside...)
	lost = errors.Join(lost, missing)
	if f.done.Streams, err = f.folder.Examine(ctx); err != nil {
		return lost, err
	}
	if err := f.folder.Rebind(ctx, f.done.Streams); err != nil {
		return lost, err
	}
	return lost, f.examine(ctx)
}

// settle starts every service on the folder, as any start does, until
// everything is settled, and stops them in order.
func (f *fsck) settle(ctx context.Context, unkept bool) (err error) {
	if err := f.close(); err != nil {
		return err
	}
	d, err := host.Open(ctx, host.Config{Dir: f.root.Data, DatabaseURL: f.root.DatabaseURL, Listen: "127.0.0.1:0", Logger: quietLogger(), Unkept: unkept})
	if err != nil {
		return fmt.Errorf("settling again: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err = d.Rest(ctx); err != nil {
		return fmt.Errorf("settling again: %w", err)
	}
	f.done.Restored = append(f.done.Restored, keeper.Restored{
		Time: time.Now().UTC(), Actor: f.root.As, Stream: "what follows from the streams", Did: "a start has brought the ledger, its indexes and the logs to the ends of the streams again",
	})
	return nil
}

func (d *examined) text(w io.Writer) {
	for _, r := range d.Restored {
		plain.Fprintf(w, "restored %s by %s: %s\n", r.Stream, r.Actor, r.Did)
	}
	for _, e := range d.Streams {
		plain.Fprintf(w, "%s %s: %d messages, %d in the second copy, %d signed\n", mark(e.OK()), e.Stream, e.Messages, e.Archived, e.Logged)
		for _, difference := range e.Differences {
			plain.Fprintf(w, "  %s\n", difference)
		}
	}
	for _, b := range d.Beside {
		plain.Fprintf(w, "%s %v\n", mark(false), b)
	}
}
