package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/distribute"
)

// PayOwed asks for a payout run.
type PayOwed struct {
	Token events.Token `json:"token"`
	Run   string       `json:"run,omitempty" doc:"Id of the run: a request with the same id is the same run. By default the token, 'run' and a number."`
}

// PayoutRun is a payout run that was made.
type PayoutRun struct {
	Run      string       `json:"run"`
	Token    events.Token `json:"token"`
	Effect   string       `json:"effect,omitempty" enum:"applied,unchanged" doc:"In the answer to a request: unchanged if this run was made before."`
	Reason   string       `json:"reason,omitempty" doc:"Why nothing was added."`
	Control  uint64       `json:"control_position"`
	Register uint64       `json:"register_position"`
	Assets   []RunAsset   `json:"assets"`
}

// RunAsset is what a payout run planned in one asset.
type RunAsset struct {
	Asset   money.Asset  `json:"asset"`
	Payouts int          `json:"payouts"`
	Planned money.Amount `json:"planned" doc:"Sum of the payouts as planned."`
}

func (s *Server) payoutRuns() {
	register(s, http.MethodPost, "/v1/payouts/runs", "run-payouts", "Plan payouts of amounts that a token already owes, without new revenue",
		func(ctx context.Context, in *struct{ Body PayOwed }) (*answer[PayoutRun], error) {
			return s.runPayouts(ctx, in.Body)
		})
	register(s, http.MethodGet, "/v1/payouts/runs", "list-payout-runs", "List payout runs",
		func(ctx context.Context, in *struct {
			Token events.Token `query:"token"`
		}) (*answer[[]PayoutRun], error) {
			all, err := s.Store.Distributions(ctx, in.Token)
			if err != nil {
				return nil, err
			}
			out := []PayoutRun{}
			for i := range all {
				if all[i].Run() {
					out = append(out, ranOf(&all[i]))
				}
			}
			return &answer[[]PayoutRun]{out}, nil
		})
}

func ranOf(d *distribution.Distribution) PayoutRun {
	out := PayoutRun{Run: d.ID, Token: d.Token, Control: d.Control, Register: d.Register, Assets: []RunAsset{}}
	for _, p := range d.Pools {
		out.Assets = append(out.Assets, RunAsset{p.Asset, p.Payouts, p.Planned})
	}
	return out
}

// runPayouts records a payout run. If the run exists already, or if nothing
// that is owed has become payable since the last run, it answers with the
// existing run and decides nothing, so a request whose answer was lost may be
// repeated.
func (s *Server) runPayouts(ctx context.Context, in PayOwed) (*answer[PayoutRun], error) {
	last, err := s.Control.Last(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := s.effective(ctx, last, "waiting for the payout runs that were requested before"); err != nil {
		return nil, err
	}
	if in.Run != "" {
		if d, ok, err := s.Store.Distribution(ctx, in.Run); err != nil || ok {
			if err == nil && (!d.Run() || d.Token != in.Token) {
				err = huma.Error409Conflict(fmt.Sprintf("%q is the id of a distribution, or of a payout run of token %s", in.Run, d.Token))
			}
			if err != nil {
				return nil, err
			}
			out := ranOf(&d)
			out.Effect, out.Reason = "unchanged", "a run with this id exists"
			return &answer[PayoutRun]{out}, nil
		}
	}
	body := events.PayoutRunDeclared{Run: in.Run, Token: in.Token, ControlSeq: last}
	if body.RegisterSeq, err = s.Register.Last(ctx); err != nil {
		return nil, unavailable(err)
	}
	reason, err := s.payable(ctx, &body)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return s.stands(ctx, in.Token, reason)
	}
	body.RestsOn, err = s.rootsAt(ctx, place{"control", body.ControlSeq}, place{"register", body.RegisterSeq})
	if err != nil {
		return nil, unavailable(err)
	}
	if _, err := s.decideOne(ctx, "", body); err != nil {
		return nil, err
	}
	d, ok, err := s.Store.Distribution(ctx, body.Run)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, huma.Error409Conflict(fmt.Sprintf("payout run %s was not made", body.Run))
	}
	out := ranOf(&d)
	out.Effect = "applied"
	return &answer[PayoutRun]{out}, nil
}

// payable plans a run without deciding it, and gives it an id if it has none.
// If nothing would be paid, reason says why.
func (s *Server) payable(ctx context.Context, body *events.PayoutRunDeclared) (reason string, err error) {
	run, err := distribute.NewPreview(ctx, s.Store, body.Token)
	if err != nil {
		return "", err
	}
	err = s.movements(ctx, body.Token, func(position uint64, m *events.Movements) bool {
		if position <= body.RegisterSeq {
			run.Move(m)
		}
		return position < body.RegisterSeq
	})
	if err != nil {
		return "", unavailable(err)
	}
	var token events.TokenDeclared
	known := false
	listed := map[events.Holder]bool{}
	s.Engine.Directory(func(d *directory.Directory) {
		if token, known = d.Token(body.Token); !known {
			return
		}
		if body.Run == "" {
			body.Run = d.NextRun(body.Token)
		}
		run.Holders(func(h events.Holder) {
			if _, on := d.Listed(h); on {
				listed[h] = true
			}
		})
	})
	if !known {
		return "", huma.Error404NotFound(fmt.Sprintf("token %q is not declared", body.Token))
	}
	if err := body.Validate(); err != nil {
		return "", huma.Error422UnprocessableEntity(err.Error())
	}
	return run.Reason(body.Run, &token, func(h events.Holder) bool { return listed[h] })
}

// stands answers with the token's last run, because nothing has become payable
// after it.
func (s *Server) stands(ctx context.Context, token events.Token, reason string) (*answer[PayoutRun], error) {
	all, err := s.Store.Distributions(ctx, token)
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Run() {
			out := ranOf(&all[i])
			out.Effect, out.Reason = "unchanged", reason
			return &answer[PayoutRun]{out}, nil
		}
	}
	return nil, huma.Error409Conflict(reason)
}
