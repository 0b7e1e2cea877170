package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// Damage says how much of an examined stream is damaged.
type Damage int

// The degrees of damage.
const (
	Whole   Damage = iota // nothing is missing or altered
	Cut                   // its end is missing, and nothing else
	Altered               // something before its end is missing or altered
)

// Damage reports how the stream is damaged.
func (e *Examination) Damage() Damage {
	damage := Whole
	for _, d := range e.Differences {
		switch {
		case d.Side != SideStream:
		case e.stream == nil:
			damage = Altered // the server cannot recover any of it
		case d.First > e.Messages && damage == Whole:
			damage = Cut
		case d.First <= e.Messages:
			damage = Altered
		}
	}
	return damage
}

// Restorable returns why the second copy cannot restore the stream: the copy is
// damaged, or the log is, or the copy ends before what was settled. It returns
// nil if it can.
func (e *Examination) Restorable() error {
	for _, d := range e.Differences {
		if d.Side == SideArchive || d.Side == SideLog {
			return fmt.Errorf("restoring %s: its second copy or its log is damaged too: %w", e.Stream, d)
		}
		if d.Side == SideStream && d.Last > e.Archived {
			return fmt.Errorf("restoring %s: the second copy ends at %d, so position %d is lost", e.Stream, e.Archived, d.Last)
		}
	}
	return nil
}

// Save copies the messages after the end of the second copy from the stream to
// the copy, before the stream is made again from it.
func (e *Examination) Save(ctx context.Context) (err error) {
	if e.Messages <= e.Archived {
		return nil
	}
	a, err := archive.Open(e.dir, e.Stream, e.Logged)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	for p := a.Last() + 1; p <= e.Messages; p++ {
		m, err := e.stream.Get(ctx, p)
		if err != nil {
			return fmt.Errorf("saving %s: position %d has no second copy and cannot be read: %w", e.Stream, p, err)
		}
		if err := a.Append(copyOf(m, hashOf(m.Data))); err != nil {
			return err
		}
	}
	return a.Sync()
}

// Restore publishes the messages that are missing at the end of a stream from its
// second copy, each at its own position, and returns how many. If it is
// interrupted, calling it again continues.
func Restore(ctx context.Context, stream *eventlog.Stream, dir string) (restored uint64, err error) {
	last, err := stream.Last(ctx)
	if err != nil {
		return 0, err
	}
	folder := ArchiveDir(dir, stream.Name())
	archived, err := archive.Last(folder, stream.Name())
	if err != nil || archived <= last {
		return 0, err
	}
	r, err := archive.Read(folder, stream.Name(), last+1, archived)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return restored, nil
		}
		if err != nil {
			return restored, fmt.Errorf("restoring %s: %w", stream.Name(), err)
		}
		if !m.Intact() {
			return restored, fmt.Errorf("restoring %s: position %d of the second copy does not match its own SHA-256", stream.Name(), m.Position)
		}
		before := m.Position - 1
		at, err := stream.Publish(ctx, m.Subject, m.Data, eventlog.PublishOptions{MsgID: m.ID, ExpectLastSeq: &before})
		if err != nil {
			return restored, fmt.Errorf("restoring %s at %d: %w", stream.Name(), m.Position, err)
		}
		if at != m.Position {
			return restored, fmt.Errorf("restoring %s: position %d was stored at %d", stream.Name(), m.Position, at)
		}
		restored++
	}
}
