package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// mend writes the damaged files of a second copy again. It keeps what is whole in
// them and takes the rest from the stream, comparing each message with its leaf.
// It returns how many messages came from the stream. If a position is damaged in
// both, it fails and changes nothing of that file. The damaged files are kept
// below aside.
func (e *Examination) mend(ctx context.Context, aside string) (taken uint64, err error) {
	var firsts []uint64
	for _, d := range e.Differences {
		if d.Side != SideArchive {
			continue
		}
		for first := (d.First-1)/archive.PerFile*archive.PerFile + 1; first <= d.Last; first += archive.PerFile {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	for _, first := range slices.Compact(firsts) {
		n, err := e.mendFile(ctx, first, aside)
		if err != nil {
			return taken, err
		}
		taken += n
	}
	if e.Archived, err = archive.Last(e.dir, e.Stream); err != nil {
		return taken, err
	}
	e.Differences = slices.DeleteFunc(e.Differences, func(d *Difference) bool { return d.Side == SideArchive })
	return taken, nil
}

func (e *Examination) mendFile(ctx context.Context, first uint64, aside string) (taken uint64, err error) {
	last := min(first+archive.PerFile-1, max(e.Archived, e.Logged))
	r, err := archive.Read(e.dir, e.Stream, first, last)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	at, lacks := first-1, uint64(0)
	next := func() (archive.Message, error) {
		if at++; at > last {
			return archive.Message{}, io.EOF
		}
		m, whole := archive.Message{}, false
		if at > lacks {
			var fault *archive.Fault
			switch m, err = r.Next(); {
			case errors.As(err, &fault):
				lacks = fault.Last
			case err != nil:
				return m, err
			default:
				whole = m.Position == at && m.Intact()
			}
		}
		if at > e.Logged {
			// Nobody signed this position: a start reads it from the stream if it
			// is missing.
			if whole {
				return m, nil
			}
			return m, io.EOF
		}
		leaf, err := leafOf(e.log, e.Stream, at)
		if err != nil {
			return m, err
		}
		if whole && m.SHA256 == leaf.Data && (leaf.Subject == "" || leaf.Subject == m.Subject) {
			return m, nil
		}
		taken++
		d, err := look(ctx, e.stream, at, leaf)
		if err != nil {
			return m, err
		}
		if d != nil {
			return m, fmt.Errorf("it is lost, because it is damaged in the second copy and in the stream: %w", d)
		}
		have, err := e.stream.Get(ctx, at)
		return copyOf(have, hashOf(have.Data)), err
	}
	return taken, archive.Rewrite(e.dir, e.Stream, first, filepath.Join(aside, "archive", LogName(e.Stream)), next)
}

// mendable returns why a second copy cannot be written again, or nil if it can.
func (e *Examination) mendable() error {
	for _, d := range e.Differences {
		if d.Side == SideLog {
			return fmt.Errorf("restoring %s: no log is left that says what was in it: %w", e.Stream, d)
		}
	}
	if e.stream == nil && e.copyDamaged() {
		return fmt.Errorf("restoring %s: its second copy is damaged, and so is all of the stream", e.Stream)
	}
	return nil
}

func (e *Examination) copyDamaged() bool {
	return slices.ContainsFunc(e.Differences, func(d *Difference) bool { return d.Side == SideArchive })
}
