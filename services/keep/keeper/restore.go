package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// Damage is what the stream side of an examined stream lacks.
type Damage int

// How a stream is damaged.
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
			damage = Altered // the server cannot recover it, whatever is left
		case d.First > e.Messages && damage == Whole:
			damage = Cut
		case d.First <= e.Messages:
			damage = Altered
		}
	}
	return damage
}

// Restorable says why the second copy cannot restore the stream: it is damaged
// itself, or the log is, or it ends before what was settled. Nil where it can.
func (e *Examination) Restorable() error {
	for _, d := range e.Differences {
		if d.Side == SideArchive || d.Side == SideLog {
			return fmt.Errorf("restoring %s: what it would be restored from is damaged: %w", e.Stream, d)
		}
		if d.Side == SideStream && d.Last > e.Archived {
			return fmt.Errorf("restoring %s: the second copy ends at %d, and position %d is lost", e.Stream, e.Archived, d.Last)
		}
	}
	return nil
}

// Save writes what the stream has behind the end of its second copy to the copy,
// before the stream is made anew from it.
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
			return fmt.Errorf("saving %s: position %d was not kept and cannot be read: %w", e.Stream, p, err)
		}
		if err := a.Append(copyOf(m, hashOf(m.Data))); err != nil {
			return err
		}
	}
	return a.Sync()
}

// Restore publishes what a stream lacks at its end from its second copy, each
// message at its own position, and returns how many. An interrupted one goes on
// when it is called again.
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
			return restored, fmt.Errorf("restoring %s: position %d of the second copy has not its own SHA-256", stream.Name(), m.Position)
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
