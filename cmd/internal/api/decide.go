package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Decided is what became of one decision.
type Decided struct {
	Kind     string `json:"kind" doc:"What was decided, such as deposit_recorded."`
	ID       string `json:"id,omitempty" doc:"Id of the decision."`
	Position uint64 `json:"position,omitempty" doc:"Position in CONTROL; 0 where nothing was appended."`
	Effect   string `json:"effect" enum:"applied,unchanged,void" doc:"Whether it changed anything."`
	Reason   string `json:"reason,omitempty" doc:"Why it is void."`
}

// proposal is a decision that has not been recorded yet.
type proposal struct {
	// id makes a repeat of the same decision recognisable, such as a deposit's
	// reference. Empty: every recording is a decision of its own.
	id   string
	body events.Body
}

// inFlight bounds how many decisions are on their way to the stream at once.
const inFlight = 256

// decide appends proposals to CONTROL in order, waits until all are in effect,
// and says what became of each. An error means that it is not known what
// became of them: asking again with the same ids is safe.
func (s *Server) decide(ctx context.Context, proposals ...proposal) ([]Decided, error) {
	who := actorOf(ctx)
	results := make([]Decided, len(proposals))
	var last uint64
	var pending []*eventlog.Future
	var of []int
	settle := func() error {
		for i, future := range pending {
			position, err := future.Wait(ctx)
			if err != nil {
				return fmt.Errorf("recording decision %d (%s): %w", of[i], results[of[i]].Kind, err)
			}
			results[of[i]].Position = position
			last = max(last, position)
		}
		pending, of = pending[:0], of[:0]
		return nil
	}
	bodies := make([]events.Body, len(proposals))
	for i, p := range proposals {
		bodies[i] = p.body
	}
	var same []bool
	before := make([]uint64, len(proposals)) // where the same decision took effect
	another := make([]error, len(proposals)) // why another decision has the same id
	var future error
	s.Engine.Directory(func(d *directory.Directory) {
		same = d.Unchanged(bodies)
		for i, p := range proposals {
			switch at, reason := d.Taken(p.id, p.body); {
			case p.id == "" || at == 0:
			case errors.Is(reason, directory.ErrRepeat):
				before[i] = at
			default:
				another[i] = reason
			}
			if future == nil && p.body.Validate() == nil { // What is not valid is refused below.
				future = d.Future(p.body, s.Now())
			}
		}
	})
	if future != nil {
		return nil, huma.Error422UnprocessableEntity(future.Error())
	}
	for i, p := range proposals {
		results[i].Kind = p.body.Kind()
		if same[i] {
			results[i].ID, results[i].Effect = p.id, "unchanged"
			continue
		}
		if another[i] != nil { // nothing is appended: it would be void each time
			results[i].ID, results[i].Effect = p.id, "void"
			results[i].Reason = another[i].Error()
			continue
		}
		if before[i] > 0 {
			// Said before: the answer is what became of it, and nothing is recorded.
			results[i].ID = p.id
			if err := s.repeated(ctx, &results[i], before[i]); err != nil {
				return nil, err
			}
			continue
		}
		id := p.id
		if id == "" {
			id = newID()
		}
		results[i].ID = id
		data, err := events.AppendDecision(nil, events.Decision{ID: id, Actor: who.name, At: s.Now().UTC(), Body: p.body})
		if err != nil {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", p.body.Kind(), err))
		}
		future, err := s.Control.PublishAsync(ctx, eventlog.ControlSubject(p.body.Kind()), data, eventlog.PublishOptions{})
		if err != nil {
			return nil, unavailable(err)
		}
		pending, of = append(pending, future), append(of, i)
		if len(pending) == inFlight {
			if err := settle(); err != nil {
				return nil, unavailable(err)
			}
		}
	}
	if err := settle(); err != nil {
		return nil, unavailable(err)
	}
	if last == 0 {
		return results, nil
	}
	if err := s.effective(ctx, last, "recorded up to CONTROL position %d, which is not in effect yet; the same request again is safe", last); err != nil {
		return nil, err
	}
	for i := range results {
		if results[i].Position == 0 || before[i] > 0 {
			continue
		}
		reason, err := s.Engine.Void(ctx, results[i].Position)
		if err != nil {
			return nil, err
		}
		switch reason {
		case "":
			results[i].Effect = "applied"
		case directory.ErrRepeat.Error():
			// Somebody said the same in the meantime.
			var at uint64
			s.Engine.Directory(func(d *directory.Directory) { at, _ = d.Taken(proposals[i].id, proposals[i].body) })
			if err := s.repeated(ctx, &results[i], at); err != nil {
				return nil, err
			}
		default:
			results[i].Effect, results[i].Reason = "void", reason
		}
	}
	return results, nil
}

// repeated says what became of a decision when it was made, which is the answer
// to a caller who makes it again: a void one repeats its reasons.
func (s *Server) repeated(ctx context.Context, result *Decided, at uint64) error {
	if err := s.effective(ctx, at, "waiting for CONTROL position %d to take effect", at); err != nil {
		return err
	}
	reason, err := s.Engine.Void(ctx, at)
	if err != nil {
		return err
	}
	result.Position, result.Effect = at, "unchanged"
	if reason != "" {
		result.Effect, result.Reason = "void", reason
	}
	return nil
}

// decideOne decides one thing, and turns a void decision into an error.
func (s *Server) decideOne(ctx context.Context, id string, body events.Body) (*answer[Decided], error) {
	results, err := s.decide(ctx, proposal{id: id, body: body})
	if err != nil {
		return nil, err
	}
	if results[0].Effect == "void" && results[0].Position == 0 {
		return nil, huma.Error409Conflict(fmt.Sprintf("%s: %s", results[0].Kind, results[0].Reason))
	}
	if results[0].Effect == "void" {
		return nil, huma.Error409Conflict(fmt.Sprintf("%s at CONTROL position %d is void: %s", results[0].Kind, results[0].Position, results[0].Reason))
	}
	return &answer[Decided]{results[0]}, nil
}

// newID returns an id that no other decision has.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// unavailable turns an interruption into the status that tells a client to ask again.
func unavailable(err error) error {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return huma.NewError(507, err.Error())
	case errors.Is(err, context.Canceled), interrupted(err):
		return err // of an interruption, register makes the answer
	}
	return huma.Error503ServiceUnavailable(err.Error())
}
