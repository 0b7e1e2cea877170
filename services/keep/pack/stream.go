package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// stream is an archive whose messages are compared with its log while they are
// read. It is an [eventlog.Source].
type stream struct {
	name   string
	dir    string // of the archive
	log    *tiles.Reader
	last   uint64 // number of leaves that the log has signed
	root   tlog.Hash
	finder *archive.Finder

	mu     sync.Mutex // guards what follows
	single bundle     // the bundle of the last message that was read alone
}

// bundle is one bundle of leaves.
type bundle struct {
	leaves [][]byte
	index  uint64
}

// Last is the last position that the log has signed.
func (s *stream) Last() uint64 { return s.last }

// Get reads one message.
func (s *stream) Get(_ context.Context, position uint64) (eventlog.Message, error) {
	if position == 0 || position > s.last {
		return eventlog.Message{}, eventlog.ErrNotFound
	}
	m, err := s.finder.Get(position)
	if err != nil {
		return eventlog.Message{}, differs(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.judge(&s.single, m); d != nil {
		return eventlog.Message{}, d
	}
	return message(m), nil
}

// Messages reads all messages from a position on.
func (s *stream) Messages(ctx context.Context, from uint64, each func(eventlog.Message) error) (err error) {
	if from > s.last {
		return nil
	}
	r, err := archive.Read(s.dir, s.name, from, s.last)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var current bundle
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return differs(err)
		}
		if d := s.judge(&current, m); d != nil {
			return d
		}
		if err := each(message(m)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// judge compares a message with its leaf; nil if it is the message that was
// signed.
func (s *stream) judge(current *bundle, m archive.Message) error {
	d := &keeper.Difference{Stream: s.name, First: m.Position, Last: m.Position, Side: keeper.SideArchive}
	if index := (m.Position - 1) / tlog.TileWidth; current.leaves == nil || current.index != index {
		leaves, err := s.log.Bundle(index, s.last)
		if err != nil {
			d.Side, d.Problem = keeper.SideLog, err.Error()
			return d
		}
		*current = bundle{leaves, index}
	}
	signed, err := keeper.ReadLeaf(current.leaves[(m.Position-1)%tlog.TileWidth])
	switch {
	case err != nil:
		d.Side, d.Problem = keeper.SideLog, err.Error()
	case signed.Position != m.Position:
		d.Side, d.Problem = keeper.SideLog, fmt.Sprintf("the leaf belongs to position %d", signed.Position)
	case !m.Intact():
		d.Problem = "altered: its data does not match its own SHA-256"
	case m.SHA256 != signed.Data:
		d.Problem = "altered: its hash is not the one that the log has signed"
	case signed.Subject != "" && signed.Subject != m.Subject:
		d.Problem = fmt.Sprintf("altered: its subject is %s, and the log has signed %s", m.Subject, signed.Subject)
	default:
		return nil
	}
	return d
}

// differs converts an archive's fault into a difference.
func differs(err error) error {
	var fault *archive.Fault
	if errors.As(err, &fault) {
		return &keeper.Difference{Stream: fault.Stream, First: fault.First, Last: fault.Last, Side: keeper.SideArchive, Problem: fault.Problem}
	}
	return err
}

// message converts a message to the form in which a stream returns it.
func message(m archive.Message) eventlog.Message {
	header := nats.Header{}
	if m.ID != "" {
		header[nats.MsgIdHdr] = []string{m.ID}
	}
	return eventlog.Message{Seq: m.Position, Subject: m.Subject, Data: m.Data, Header: header, Time: m.Time}
}

// Examine reads every message and returns everything that is missing or altered.
func (p *Pack) Examine(ctx context.Context) ([]*keeper.Difference, error) {
	var found []*keeper.Difference
	for _, s := range p.streams {
		list, err := s.examine(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	return found, nil
}

func (s *stream) examine(ctx context.Context) (found []*keeper.Difference, err error) {
	r, err := archive.Read(s.dir, s.name, 1, s.last)
	if err != nil || s.last == 0 {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var current bundle
	for ctx.Err() == nil {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err == nil {
			err = s.judge(&current, m)
		}
		var d *keeper.Difference
		if err = differs(err); errors.As(err, &d) {
			found = append(found, d)
		} else if err != nil {
			return nil, err
		}
	}
	return nil, ctx.Err()
}
