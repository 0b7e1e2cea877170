package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// sending streams a mapped file into the engine. Batches go one after another,
// in the order of the file, so that of two contradicting rows the first wins;
// the next ones are read and mapped meanwhile.
type sending struct {
	server       *server
	provider     events.Provider
	source       *source
	batch        int
	skip         int                           // events at the beginning that are stored already
	limit        int                           // events of this run; 0: all
	keepHandles  bool                          // for outcomes
	acknowledged func(events int, bytes int64) // so much of the file is stored or refused; may be nil

	client  *client.Client
	handles []events.Handle
}

// chunk is one batch on its way.
type chunk struct {
	events []events.Usage
	lines  []int
	failed []refusedRow // rows that could not be mapped
	bytes  int64        // of the file, up to its end
	counts mapping.Counts
}

func (s *sending) run(ctx context.Context) (sent Sent, err error) {
	sent.Refusals = []refusedRow{}
	if s.batch < 1 || s.batch > events.MaxEvents {
		return sent, fmt.Errorf("--batch: %d is not between 1 and %d", s.batch, events.MaxEvents)
	}
	s.client, err = client.New(client.Config{
		URL: s.server.url, Token: s.server.token, Provider: s.provider, ReceivedFromEvent: s.source.received,
		Patience: sendPatience,
	})
	if err != nil {
		return sent, err
	}
	sent.Sent = s.skip
	chunks := make(chan chunk, 2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(chunks)
		return s.read(ctx, chunks)
	})
	group.Go(func() error {
		for c := range chunks {
			if err := s.send(ctx, c, &sent); err != nil {
				return err
			}
		}
		return nil
	})
	err = group.Wait()
	return sent, err
}

// read maps the file into chunks.
func (s *sending) read(ctx context.Context, to chan<- chunk) (err error) {
	r, err := s.source.m.Open(s.source.file, s.source.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var c chunk
	give := func() error {
		c.bytes, c.counts = r.Bytes(), r.Counts()
		select {
		case to <- c:
			c = chunk{}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for seen := 0; ; {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return give()
		}
		if err != nil {
			return err
		}
		if refusal := item.Refusal; refusal != nil {
			if seen < s.skip {
				continue // Told by the run that sent the events around it.
			}
			c.failed = append(c.failed, refusedRow{item.Line, refusal.ID, refusal.Field, refusal.Reason, refusal.Detail})
			continue
		}
		if seen++; seen <= s.skip {
			continue
		}
		c.events, c.lines = append(c.events, item.Usage), append(c.lines, item.Line)
		last := seen == s.skip+s.limit // Never where limit is 0: seen is above skip.
		if len(c.events) == s.batch || last {
			if err := give(); err != nil || last {
				return err
			}
		}
	}
}

// send stores one chunk and counts it.
func (s *sending) send(ctx context.Context, c chunk, sent *Sent) error {
	for _, f := range c.failed {
		sent.Unmapped++
		sent.refuse(f)
	}
	sent.Rows, sent.Skipped = c.counts.Rows, c.counts.Skipped
	result, err := s.client.Send(ctx, c.events)
	if err != nil {
		return err
	}
	sent.Sent += len(c.events)
	sent.Accepted += result.Accepted
	for _, f := range result.Refusals {
		row := refusedRow{ID: f.ID, Field: f.Field, Reason: f.Reason, Detail: f.Detail}
		if f.Index >= 0 && f.Index < len(c.lines) {
			row.Line = c.lines[f.Index]
		}
		sent.refuse(row)
	}
	if s.keepHandles {
		s.handles = append(s.handles, result.Handle...)
	}
	if s.acknowledged != nil {
		s.acknowledged(sent.Sent, c.bytes)
	}
	return nil
}

func (s *Sent) refuse(row refusedRow) {
	s.Refused++
	if len(s.Refusals) < shownRefusals {
		s.Refusals = append(s.Refusals, row)
	}
}

// outcomes waits until all is settled and adds up what became of it.
func (s *sending) outcomes(ctx context.Context) (*tallied, error) {
	var sum tallied
	for _, h := range s.handles {
		for {
			o, err := s.client.Outcomes(ctx, h, settlePatience)
			if err != nil {
				return nil, err
			}
			if !o.Settled {
				continue
			}
			sum.Accepted += o.Accepted
			sum.Late += o.Late
			sum.Duplicate += o.Duplicate
			sum.Refused += o.Refused
			break
		}
	}
	return &sum, nil
}
