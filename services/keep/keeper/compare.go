package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// Side says which of three is wrong if they differ. The log decides as long as
// its own hashes are right, because it is signed.
type Side string

// The sides.
const (
	SideStream  Side = "stream"
	SideArchive Side = "archive"
	SideLog     Side = "log"
	SideStore   Side = "store"
	SideBeside  Side = "beside" // none of these: see [Beside]
)

// Difference is something that differs between a stream, its second copy and its
// log.
type Difference struct {
	Stream  string `json:"stream"`
	First   uint64 `json:"first" doc:"Position."`
	Last    uint64 `json:"last" doc:"Position; equal to first if there is only one."`
	Side    Side   `json:"side" doc:"Which is wrong: stream, archive, log or store."`
	Problem string `json:"problem"`
}

// Error names stream, positions and side in one line.
func (d *Difference) Error() string {
	at := fmt.Sprintf("position %d", d.First)
	if d.Last > d.First {
		at = fmt.Sprintf("positions %d to %d", d.First, d.Last)
	}
	return fmt.Sprintf("%s %s, %s: %s", d.Stream, at, d.Side, d.Problem)
}

// differs converts an archive's fault into a difference.
func differs(err error) error {
	var fault *archive.Fault
	if errors.As(err, &fault) {
		return &Difference{Stream: fault.Stream, First: fault.First, Last: fault.Last, Side: SideArchive, Problem: fault.Problem}
	}
	return err
}

const (
	// comparedTail and comparedBytes limit what a start compares: the last
	// positions of each stream, as many messages as fit into this number of
	// bytes.
	comparedTail  = 1000
	comparedBytes = 64 << 20
)

// reader reads a log.
type reader interface {
	Leaf(index uint64) ([]byte, error)
}

// compare compares the ends of the three. It returns the messages that the
// archive has after the end of the log, without data.
func compare(ctx context.Context, stream *eventlog.Stream, log reader, size uint64, dir string, archived uint64) (ahead []archive.Message, err error) {
	extent, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	if extent.Last < max(size, archived) {
		return nil, &Difference{Stream: stream.Name(), First: extent.Last + 1, Last: max(size, archived), Side: SideStream,
			Problem: fmt.Sprintf("missing: the stream ends at %d, the second copy at %d, its log at %d", extent.Last, archived, size)}
	}
	from := max(size, comparedTail) - comparedTail + 1
	tail, err := archivedTail(dir, stream.Name(), from, archived)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for i := len(tail) - 1; i >= 0 && bytes < comparedBytes; i-- {
		m := tail[i]
		bytes += m.size
		if m.Position > size {
			ahead = append(ahead, m.Message)
			continue // It is compared when the loop reads it.
		}
		leaf, err := leafOf(log, stream.Name(), m.Position)
		if err != nil {
			return nil, err
		}
		if leaf.Data != m.SHA256 {
			return nil, &Difference{Stream: stream.Name(), First: m.Position, Last: m.Position, Side: SideArchive, Problem: "altered: its hash is not the one that the log has signed"}
		}
		if d, err := look(ctx, stream, m.Position, leaf); err != nil || d != nil {
			return nil, errors.Join(err, asError(d))
		}
	}
	return ahead, nil
}

func asError(d *Difference) error {
	if d == nil {
		return nil
	}
	return d
}

type summary struct {
	archive.Message
	size int
}

// archivedTail reads what the archive has between two positions, without the
// data.
func archivedTail(dir, stream string, from, to uint64) (tail []summary, err error) {
	if to < from {
		return nil, nil
	}
	r, err := archive.Read(dir, stream, from, to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tail, nil
		}
		if err != nil {
			return nil, differs(err)
		}
		size := len(m.Data)
		m.Data = nil
		tail = append(tail, summary{m, size})
	}
}

// Signed is what a leaf says about a message.
type Signed struct {
	Position uint64
	Data     tlog.Hash // SHA-256 of the message's data
	Subject  string    // empty if the leaf has none
}

// leafOf reads the leaf of a position.
func leafOf(log reader, stream string, position uint64) (Signed, error) {
	data, err := log.Leaf(position - 1)
	if err != nil {
		return Signed{}, &Difference{Stream: stream, First: position, Last: position, Side: SideLog, Problem: err.Error()}
	}
	s, err := ReadLeaf(data)
	if err == nil && s.Position != position {
		err = fmt.Errorf("the leaf belongs to position %d", s.Position)
	}
	if err != nil {
		return Signed{}, &Difference{Stream: stream, First: position, Last: position, Side: SideLog, Problem: err.Error()}
	}
	return s, nil
}

// ReadLeaf reads a leaf of any stream.
func ReadLeaf(data []byte) (Signed, error) {
	if len(data) > 0 && data[0] == 'U' {
		leaf, err := tlog.DecodeUsageLeaf(data)
		return Signed{Position: leaf.Position, Data: leaf.Data}, err
	}
	leaf, err := tlog.DecodeStreamLeaf(data)
	return Signed{Position: leaf.Position, Data: leaf.Data, Subject: leaf.Subject}, err
}

// look compares a stream's message with its leaf.
func look(ctx context.Context, stream *eventlog.Stream, position uint64, leaf Signed) (*Difference, error) {
	d := &Difference{Stream: stream.Name(), First: position, Last: position, Side: SideStream}
	m, err := stream.Get(ctx, position)
	switch {
	case errors.Is(err, eventlog.ErrNotFound):
		d.Problem = "missing"
		return d, nil
	case eventlog.Unavailable(err), errors.Is(err, eventlog.ErrClosed), ctx.Err() != nil:
		return nil, err
	case err != nil:
		// The server cannot read this message and refuses it with a message of
		// its own.
		d.Problem = "unreadable: " + err.Error()
		return d, nil
	case hashOf(m.Data) != leaf.Data:
		d.Problem = fmt.Sprintf("altered: SHA-256 %x, signed %x", hashOf(m.Data), leaf.Data)
		return d, nil
	case leaf.Subject != "" && leaf.Subject != m.Subject:
		d.Problem = fmt.Sprintf("altered: its subject is %s, and the log has signed %s", m.Subject, leaf.Subject)
		return d, nil
	}
	return nil, nil
}

// rememberedFile is a second copy of the last checkpoint, beside the second copy
// of the messages. A log that was replaced by an older copy of itself is
// consistent in itself; only what it has signed since gives it away.
func rememberedFile(dir, stream string) string { return ArchiveDir(dir, stream) + ".checkpoint" }

// remember stores the checkpoint that was just published. The file is not synced:
// an older or torn one after a power failure proves less, but never anything
// false.
func (k *Keeper) remember(s *kept) {
	_, signed, err := s.log.Reader().Checkpoint()
	if err == nil {
		name := rememberedFile(k.config.Dir, s.stream.Name())
		if err = os.WriteFile(name+".new", signed, 0o600); err == nil {
			err = os.Rename(name+".new", name)
		}
	}
	if err != nil {
		k.config.Logger.Warn("storing the second copy of a checkpoint", "stream", s.stream.Name(), "cause", err)
	}
}

// older compares the log with the checkpoint that it signed last.
func (k *Keeper) older(s *kept) error {
	name := s.stream.Name()
	c, ok := remembered(k.config.Dir, name, k.keys.Origin(LogName(name)), k.keys)
	if !ok {
		return nil
	}
	if size := s.log.Size(); c.Size > size {
		return &Difference{Stream: name, First: size + 1, Last: c.Size, Side: SideLog,
			Problem: fmt.Sprintf("missing: the log ends at %d but had signed %d", size, c.Size)}
	}
	if err := s.log.Extends(c); err != nil {
		return &Difference{Stream: name, First: 1, Last: c.Size, Side: SideLog, Problem: "it does not continue what it signed before: " + err.Error()}
	}
	return nil
}

// remembered reads the second copy of the last checkpoint; false if it cannot be
// read.
func remembered(dir, stream, origin string, key note.Verifier) (tlog.Checkpoint, bool) {
	signed, err := os.ReadFile(rememberedFile(dir, stream))
	if err != nil {
		return tlog.Checkpoint{}, false
	}
	c, _, err := tlog.OpenCheckpoint(signed, origin, key)
	return c, err == nil
}
