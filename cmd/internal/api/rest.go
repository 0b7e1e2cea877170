package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/issue"
)

const (
	// restPatience is how long a declaration waits until the logs cover the
	// positions that it rests on. These positions are committed, so this takes
	// a moment unless the keeper has stopped.
	restPatience = time.Minute
	restPoll     = 20 * time.Millisecond
)

// A place is a position in a log; the log is named as its stream, in lower
// case.
type place struct {
	log      string
	position uint64
}

// published returns how far every log is signed, which a closing rests on. It
// does not wait, and is empty if no logs are kept.
func (s *Server) published() ([]events.LogState, error) {
	if s.Proofs == nil {
		return nil, nil
	}
	var list []events.LogState
	for _, name := range s.Proofs.Logs {
		log, err := s.Proofs.Log(name)
		if err != nil {
			return nil, err
		}
		c, _, err := log.Checkpoint()
		if err != nil {
			return nil, err
		}
		if c.Size > 0 {
			list = append(list, events.LogState{Log: name, Size: c.Size, Root: events.Root(c.Root)})
		}
	}
	slices.SortFunc(list, func(a, b events.LogState) int { return cmp.Compare(a.Log, b.Log) })
	return list, nil
}

// rootsAt returns the roots of logs at positions that a declaration rests on,
// once these are signed. If the logs do not reach them in time the declaration
// is not made, because it could not be proved.
func (s *Server) rootsAt(ctx context.Context, places ...place) ([]events.LogState, error) {
	if s.Proofs == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, restPatience)
	defer cancel()
	var list []events.LogState
	for _, p := range places {
		if p.position == 0 {
			continue
		}
		root, err := s.rootAt(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("waiting until %s is signed up to position %d: %w", p.log, p.position, err)
		}
		list = append(list, events.LogState{Log: p.log, Size: p.position, Root: events.Root(root)})
	}
	slices.SortFunc(list, func(a, b events.LogState) int { return cmp.Compare(a.Log, b.Log) })
	return list, nil
}

func (s *Server) rootAt(ctx context.Context, p place) (tlog.Hash, error) {
	log, err := s.Proofs.Log(p.log)
	if err != nil {
		return tlog.Hash{}, err
	}
	ticker := time.NewTicker(restPoll)
	defer ticker.Stop()
	for {
		c, _, err := log.Checkpoint()
		if err != nil {
			return tlog.Hash{}, err
		}
		if c.Size >= p.position {
			return tlog.RootOf(p.position, log.Tile)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return tlog.Hash{}, issue.ErrEarly
		}
	}
}
