package export

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// source is a stream up to the position that its log has signed.
type source struct {
	stream *eventlog.Stream
	log    Log // nil if no log is kept
	origin string
	size   uint64 // the last position that is read
	root   string // base64, as in checkpoints
}

// message is one message of a stream that was compared with its leaf.
type message struct {
	eventlog.Message
	of     *source
	leaf   []byte // nil if no log is kept
	sha256 [32]byte
}

func (r *run) open(stream *eventlog.Stream) (*source, error) {
	s := &source{stream: stream}
	if r.Log == nil {
		var err error
		s.size, err = stream.Last(r.ctx)
		return s, err
	}
	var err error
	if s.log, err = r.Log(strings.ToLower(stream.Name())); err != nil {
		return nil, err
	}
	c, _, err := s.log.Checkpoint()
	if err != nil {
		return nil, err
	}
	s.origin, s.size, s.root = c.Origin, c.Size, c.Root.String()
	return s, nil
}

// read calls each for the messages between two positions, in ascending order.
func (r *run) read(s *source, from, to uint64, each func(*message) error) error {
	if to = min(to, s.size); from > to {
		return nil
	}
	reader, err := s.stream.Read(r.ctx, from, "")
	if err != nil {
		return err
	}
	defer reader.Stop()
	for next := from; next <= to; next++ {
		raw, err := reader.Next(r.ctx)
		if err != nil {
			return err
		}
		m := &message{Message: raw, of: s, sha256: sha256.Sum256(raw.Data)}
		if err := m.compare(next); err != nil {
			return fmt.Errorf("%s position %d: %w", s.stream.Name(), next, err)
		}
		if err := each(m); err != nil {
			return fmt.Errorf("%s position %d: %w", s.stream.Name(), next, err)
		}
	}
	return nil
}

// get returns one message.
func (r *run) get(s *source, position uint64) (*message, error) {
	raw, err := s.stream.Get(r.ctx, position)
	if err != nil {
		return nil, err
	}
	m := &message{Message: raw, of: s, sha256: sha256.Sum256(raw.Data)}
	if err := m.compare(position); err != nil {
		return nil, fmt.Errorf("%s position %d: %w", s.stream.Name(), position, err)
	}
	return m, nil
}

var (
	errAltered  = errors.New("the message is not the one that the log has signed")
	errPosition = errors.New("the message belongs to another position")
)

// compare checks that the message is the one whose leaf is at its position.
func (m *message) compare(position uint64) (err error) {
	if m.Seq != position {
		return errPosition
	}
	if m.of.log == nil {
		return nil
	}
	if m.leaf, err = m.of.log.Leaf(position - 1); err != nil {
		return err
	}
	var at uint64
	var hash tlog.Hash
	subject := m.Subject
	if len(m.leaf) > 0 && m.leaf[0] == 'U' {
		var leaf tlog.UsageLeaf
		leaf, err = tlog.DecodeUsageLeaf(m.leaf)
		at, hash = leaf.Position, leaf.Data
	} else {
		var leaf tlog.StreamLeaf
		leaf, err = tlog.DecodeStreamLeaf(m.leaf)
		at, hash, subject = leaf.Position, leaf.Data, leaf.Subject
	}
	switch {
	case err != nil:
		return err
	case at != position:
		return errPosition
	case hash != m.sha256 || subject != m.Subject:
		return errAltered
	}
	return nil
}

// logColumns say from which record a row comes and which log proves it. They are
// null for rows that come from several records or from a stream without a log.
func logColumns() []Column {
	return []Column{
		{"stream", Text, true},
		{"position", Count, true},
		{"leaf_index", Count, true},
		{"log_origin", Text, true},
		{"tree_size", Count, true},
		{"root_hash", Text, true},
	}
}

// emit writes a row that comes from one record.
func (r *run) emit(s *source, position uint64, cells ...cell) error {
	r.cells = append(r.cells[:0], cells...)
	switch {
	case s == nil:
		r.cells = append(r.cells, cell{}, cell{}, cell{}, cell{}, cell{}, cell{})
	case s.log == nil:
		r.cells = append(r.cells, text(s.stream.Name()), count(position), cell{}, cell{}, cell{}, cell{})
	case position == 0: // the row comes from the whole log
		r.cells = append(r.cells, text(s.stream.Name()), cell{}, cell{}, text(s.origin), count(s.size), text(s.root))
	default:
		r.cells = append(r.cells, text(s.stream.Name()), count(position), count(position-1), text(s.origin), count(s.size), text(s.root))
	}
	return r.table.row(r.cells...)
}
