package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/cmd/internal/mapping"
	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// sending streams a mapped file into the engine. Batches are sent one after
// another in the order of the file, so the first of two contradicting rows
// wins. The next batches are read and mapped meanwhile.
type sending struct {
	server       *server
	provider     events.Provider
	source       *source
	batch        int
	skip         int                           // events at the beginning that are already stored
	limit        int                           // events of this run; 0: all
	keepHandles  bool                          // to ask for outcomes later
	acknowledged func(sent *Sent, bytes int64) // called with the part of the file that is stored or refused; may be nil
	rejects      *rejects                      // receives the rows that are refused; may be nil

	client  *client.Client
	handles []events.Handle
}

// place is the position of an event in its file.
type place struct{ row, line int }

// chunk is one batch between reading and sending.
type chunk struct {
	events []events.Usage
	lines  []place
	raws   []string     // the rows themselves, if they are needed
	failed []refusedRow // rows that could not be mapped
	bytes  int64        // bytes of the file up to the end of the batch
	counts mapping.Counts
}

func (s *sending) run(ctx context.Context) (sent Sent, err error) {
	sent.Refusals, sent.Reasons = []refusedRow{}, map[events.Reason]int{}
	if s.batch < 1 || s.batch > packed.MaxEvents {
		return sent, fmt.Errorf("--batch: %d is not between 1 and %d", s.batch, packed.MaxEvents)
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
	options := s.source.options
	options.Raw = s.rejects != nil
	r, err := s.source.m.Open(s.source.file, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if s.rejects != nil {
		s.rejects.begin(r) // The channel orders this before the rows.
	}
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
				continue // The earlier run, which sent the events around it, has reported it.
			}
			c.failed = append(c.failed, refusedRow{item.Line, refusal.ID, refusal.Field, refusal.Reason, refusal.Detail, item.Row, item.Raw, item.Broken})
			continue
		}
		if seen++; seen <= s.skip {
			continue
		}
		c.events, c.lines = append(c.events, item.Usage), append(c.lines, place{item.Row, item.Line})
		if options.Raw {
			c.raws = append(c.raws, item.Raw)
		}
		last := seen == s.skip+s.limit // Never true if limit is 0, because seen is above skip.
		if len(c.events) == s.batch || last {
			if err := give(); err != nil || last {
				return err
			}
		}
	}
}

// send stores one chunk and counts its outcomes.
func (s *sending) send(ctx context.Context, c chunk, sent *Sent) error {
	sent.Rows, sent.Skipped = c.counts.Rows, c.counts.Skipped
	result, err := s.client.Send(ctx, c.events)
	if err != nil {
		return err
	}
	sent.Sent += len(c.events)
	sent.Accepted += result.Accepted
	refused := c.failed
	for _, f := range result.Refusals {
		row := refusedRow{ID: f.ID, Field: f.Field, Reason: f.Reason, Detail: f.Detail}
		if f.Index >= 0 && f.Index < len(c.lines) {
			row.row, row.Line = c.lines[f.Index].row, c.lines[f.Index].line
			if c.raws != nil {
				row.raw = c.raws[f.Index]
			}
		}
		refused = append(refused, row)
	}
	sent.Unmapped += len(c.failed)
	for _, row := range refused {
		sent.refuse(row)
	}
	if s.rejects != nil {
		s.rejects.add(refused)
		if sent.rejects, err = s.rejects.sync(); err != nil {
			return err
		}
	}
	if s.keepHandles {
		s.handles = append(s.handles, result.Handle...)
	}
	if s.acknowledged != nil {
		s.acknowledged(sent, c.bytes)
	}
	return nil
}

func (s *Sent) refuse(row refusedRow) {
	s.Refused++
	s.Reasons[row.Reason]++
	if len(s.Refusals) < shownRefusals {
		s.Refusals = append(s.Refusals, row)
	}
}

// outcomes waits until everything is settled, adds up the outcomes, and returns
// the events that were refused at settlement.
func (s *sending) outcomes(ctx context.Context) (*tallied, []events.Exception, error) {
	var sum tallied
	var refused []events.Exception
	for _, h := range s.handles {
		for {
			o, err := s.client.Outcomes(ctx, h, settlePatience)
			if err != nil {
				return nil, nil, err
			}
			if !o.Settled {
				continue
			}
			sum.Accepted += o.Accepted
			sum.Late += o.Late
			sum.Duplicate += o.Duplicate
			sum.Refused += o.Refused
			for _, e := range o.Exceptions {
				if e.Outcome == refusedOutcome {
					refused = append(refused, e)
				}
			}
			break
		}
	}
	return &sum, refused, nil
}

// refusedOutcome is the name of the outcome in [events.Exception].
const refusedOutcome = "refused"
