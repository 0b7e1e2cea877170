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

// Decided is the result of one decision.
type Decided struct {
	Kind     string `json:"kind" doc:"What was decided, such as deposit_recorded."`
	ID       string `json:"id,omitempty" doc:"Id of the decision."`
	Position uint64 `json:"position,omitempty" doc:"Position in CONTROL; 0 if nothing was appended."`
	Effect   string `json:"effect" enum:"applied,unchanged,void" doc:"Whether it changed anything."`
	Reason   string `json:"reason,omitempty" doc:"Why it is void."`
}

// WhyVoid says for people why the decision has no effect, such as "the reopening of
// a period (control record 12) has no effect: …".
func (d *Decided) WhyVoid() string {
	if d.Position == 0 {
		return fmt.Sprintf("%s was not recorded: %s", events.PhraseOf(d.Kind), d.Reason)
	}
	return fmt.Sprintf("%s (control record %d) has no effect: %s", events.PhraseOf(d.Kind), d.Position, d.Reason)
}

// proposal is a decision that has not been recorded yet.
type proposal struct {
	// id makes a repetition of the same decision recognisable, such as a
	// deposit's reference. If it is empty, every recording is a decision of its
	// own.
	id   string
	body events.Body
}

// inFlight limits how many decisions are being published at once.
const inFlight = 256

// decide appends proposals to CONTROL in order, waits until all are in effect,
// and returns the result of each. After an error their results are unknown; it
// is safe to ask again with the same ids.
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
				return fmt.Errorf("recording %s, number %d of the request: %w", events.PhraseOf(results[of[i]].Kind), of[i]+1, err)
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
			if future == nil && p.body.Validate() == nil { // The loop below refuses an invalid body.
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
		if another[i] != nil { // Nothing is appended: it would be void each time.
			results[i].ID, results[i].Effect = p.id, "void"
			results[i].Reason = another[i].Error()
			continue
		}
		if before[i] > 0 {
			// It was decided before: the answer repeats its result, and nothing
			// is recorded.
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
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", events.PhraseOf(p.body.Kind()), err))
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
	if err := s.effective(ctx, last, "recorded as control record %d, which is not in effect yet; it is safe to send the same request again", last); err != nil {
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
			// Another caller made the same decision in the meantime.
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

// repeated returns the result that a decision had when it was first made, as
// the answer to a caller who makes it again. A void one repeats its reason.
func (s *Server) repeated(ctx context.Context, result *Decided, at uint64) error {
	if err := s.effective(ctx, at, "waiting for control record %d to take effect", at); err != nil {
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
	if results[0].Effect == "void" {
		return nil, huma.Error409Conflict(results[0].WhyVoid())
	}
	return &answer[Decided]{results[0]}, nil
}

// newID returns an id that no other decision has.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// unavailable maps an interruption to the status that asks the client to try
// again.
func unavailable(err error) error {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return huma.NewError(507, err.Error())
	case errors.Is(err, context.Canceled), interrupted(err):
		return err // register answers an interruption
	}
	return huma.Error503ServiceUnavailable(err.Error())
}
