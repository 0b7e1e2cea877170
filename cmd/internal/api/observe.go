package api

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

// Observed is the result of importing the rounds of one source.
type Observed struct {
	Applied   int            `json:"applied" doc:"Decisions that recorded rounds."`
	Unchanged int            `json:"unchanged" doc:"Decisions that were recorded before."`
	Void      []Decided      `json:"void" doc:"Decisions without effect, with the reason."`
	Rounds    int            `json:"rounds" doc:"Rounds that are new."`
	Known     int            `json:"known" doc:"Rounds that were recorded before, or equal another round of the same time."`
	Refused   []RefusedRound `json:"refused" doc:"Rounds that are refused; the others were recorded."`
}

// RefusedRound is a round that was not recorded.
type RefusedRound struct {
	Index  int    `json:"index" doc:"Index of the round in the request, from 0."`
	Round  string `json:"round"`
	Reason string `json:"reason"`
}

// observations are the rounds in CONTROL, as far as they were read.
type observations struct {
	mu              sync.Mutex // guards the fields below
	board           quotes.Board
	read, withdrawn uint64 // positions in CONTROL of the last decision of each kind
}

// sift separates new rounds from those that CONTROL already has of their
// source.
func (s *Server) sift(ctx context.Context, o events.QuotesObserved) (fresh []events.Round, known int, refused []quotes.Refusal, err error) {
	s.observed.mu.Lock()
	defer s.observed.mu.Unlock()
	if err := s.catchUp(ctx); err != nil {
		return nil, 0, nil, err
	}
	var policy events.QuotePolicyDeclared
	declared := false
	s.Engine.Directory(func(d *directory.Directory) { policy, declared = d.QuotePolicy(o.Pair) })
	if declared {
		if err := s.observed.board.SetPolicy(policy); err != nil {
			return nil, 0, nil, err
		}
	}
	fresh, known, refused = s.observed.board.Sift(o)
	return fresh, known, refused, nil
}

// catchUp reads the observations and the withdrawals that were recorded since
// the last request. The same rule as in settlement decides which of them have
// an effect. A withdrawal names its round, so it may be read after observations
// that came later.
func (s *Server) catchUp(ctx context.Context) error {
	board := &s.observed.board
	err := s.eachSince(ctx, events.QuotesObserved{}.Kind(), &s.observed.read, func(body events.Body) {
		if b, ok := body.(events.QuotesObserved); ok {
			_ = board.Observe(b) // void there too
		}
	})
	if err != nil {
		return err
	}
	return s.eachSince(ctx, events.RoundWithdrawn{}.Kind(), &s.observed.withdrawn, func(body events.Body) {
		if b, ok := body.(events.RoundWithdrawn); ok {
			_ = board.Withdraw(b) // void there too
		}
	})
}

// eachSince calls each for the decisions of a kind after position read, and
// advances read.
func (s *Server) eachSince(ctx context.Context, kind string, read *uint64, each func(events.Body)) error {
	subject := eventlog.ControlSubject(kind)
	last, err := s.Control.GetLastFor(ctx, subject)
	if errors.Is(err, eventlog.ErrNotFound) || err == nil && last.Seq <= *read {
		return nil
	}
	if err != nil {
		return err
	}
	reader, err := s.Control.Read(ctx, *read+1, subject)
	if err != nil {
		return err
	}
	defer reader.Stop()
	for *read < last.Seq {
		message, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if d, err := events.DecodeDecision(message.Data); err == nil {
			each(d.Body)
		}
		*read = message.Seq
	}
	return nil
}

// observe records the rounds that are new, and names those that are refused.
func (s *Server) observe(ctx context.Context, in events.QuotesObserved) (*answer[Observed], error) {
	if err := in.Validate(); err != nil {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", events.PhraseOf(in.Kind()), err))
	}
	fresh, known, refused, err := s.sift(ctx, in)
	if err != nil {
		return nil, unavailable(err)
	}
	done := Observed{Void: []Decided{}, Rounds: len(fresh), Known: known, Refused: []RefusedRound{}}
	for _, r := range refused {
		done.Refused = append(done.Refused, RefusedRound{r.Index, in.Rounds[r.Index].Round, r.Reason})
	}
	var proposals []proposal
	for len(fresh) > 0 {
		n := min(len(fresh), roundsPerDecision)
		part := events.QuotesObserved{Pair: in.Pair, Source: in.Source, Rounds: fresh[:n]}
		proposals = append(proposals, proposal{
			id:   events.ObservationID(part.Pair, part.Source, fresh[0].Round, fresh[n-1].Round),
			body: part,
		})
		fresh = fresh[n:]
	}
	results, err := s.decide(ctx, proposals...)
	if err != nil {
		return nil, err
	}
	counted := count(results)
	done.Applied, done.Unchanged, done.Void = counted.Applied, counted.Unchanged, counted.Void
	return &answer[Observed]{done}, nil
}
