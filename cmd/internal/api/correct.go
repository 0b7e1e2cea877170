package api

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Correct says what became of a payout, against the answer of its rail.
type Correct struct {
	State     string `json:"state" enum:"submitted,confirmed,failed,returned" doc:"The payout's state from now on; submitted if no answer of the rail counts. Naming the state that the payout is in confirms it."`
	Reference string `json:"reference,omitempty" doc:"The rail's reference from now on; by default the one that the payout has."`
	Reason    string `json:"reason" minLength:"1" doc:"The reason, for people."`
}

// Corrected is a payout after a correction.
type Corrected struct {
	Decided
	Payout       string             `json:"payout"`
	Distribution string             `json:"distribution"`
	Holder       events.Holder      `json:"holder"`
	Asset        money.Asset        `json:"asset"`
	Amount       money.Amount       `json:"amount"`
	From         distribution.State `json:"from"`
	State        distribution.State `json:"state"`
	Reference    string             `json:"reference,omitempty"`
}

// correctPayout decides what became of a payout. Repeating a correction is the
// same decision, until the payout's state has changed again.
func (s *Server) correctPayout(ctx context.Context, id string, in Correct) (*answer[Corrected], error) {
	made, p, ok, err := s.payout(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, huma.Error404NotFound(fmt.Sprintf("payout %q does not exist", id))
	}
	body := events.PayoutCorrected{
		Distribution: made.ID, Payout: id, From: string(p.State), State: in.State, Reference: in.Reference, Reason: in.Reason,
	}
	if err := body.Validate(); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	stands := string(p.State) == in.State && (in.Reference == "" || in.Reference == p.Reference)
	out := Corrected{Payout: id, Distribution: made.ID, Holder: p.Holder, Asset: p.Asset, Amount: p.Amount, From: p.State}
	name, before, said := "", "", uint64(0)
	s.Engine.Directory(func(d *directory.Directory) {
		for n := 1; ; n++ {
			name = events.CorrectionID(id, in.State, in.Reference, in.Reason, n)
			at, _ := d.Taken(name, body)
			if at == 0 {
				return
			}
			before, said = name, at
		}
	})
	if stands && said > 0 {
		out.Decided = Decided{Kind: body.Kind(), ID: before}
		if err := s.repeated(ctx, &out.Decided, said); err != nil {
			return nil, err
		}
		if out.Effect != "void" {
			out.State, out.Reference = p.State, p.Reference
			return &answer[Corrected]{out}, nil
		}
	}
	done, err := s.decideOne(ctx, name, body)
	if err != nil {
		return nil, err
	}
	_, p, _, err = s.payout(ctx, id)
	out.Decided, out.State, out.Reference = done.Body, p.State, p.Reference
	return &answer[Corrected]{out}, err
}

// payout finds a payout by its id.
func (s *Server) payout(ctx context.Context, id string) (made distribution.Distribution, p distribution.Payout, ok bool, err error) {
	err = s.Store.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		all, err := snapshot.Distributions("")
		for i := range all {
			if err != nil || ok {
				break
			}
			if p, ok, err = snapshot.Payout(&all[i], id); ok {
				made = all[i]
			}
		}
		return err
	})
	return made, p, ok, err
}
