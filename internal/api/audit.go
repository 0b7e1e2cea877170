package api

import (
	"context"
	"net/http"

	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

// Checked is what became of every invariant.
type Checked struct {
	OK     bool          `json:"ok"`
	Checks []check.Check `json:"checks"`
}

func (s *Server) audits() {
	register(s, http.MethodGet, "/v1/summary", "summary", "The whole store in a few figures",
		func(ctx context.Context, _ *struct{}) (*answer[summary.Summary], error) {
			sum, err := summary.Run(ctx, s.Store)
			if err != nil {
				return nil, err
			}
			return &answer[summary.Summary]{sum}, nil
		})
	register(s, http.MethodGet, "/v1/check", "check", "Verify every invariant at one cut",
		func(ctx context.Context, in *struct {
			Deep bool `query:"deep" doc:"Read the usage stream as well, and count every event in it."`
		}) (*answer[Checked], error) {
			list, err := check.Run(ctx, s.Store, s.Usage, in.Deep)
			if err != nil {
				return nil, err
			}
			return &answer[Checked]{Checked{check.All(list), list}}, nil
		})
	register(s, http.MethodPost, "/v1/replay", "replay", "Derive everything again from the streams and compare",
		func(ctx context.Context, _ *struct{}) (*answer[replay.Result], error) {
			result, err := replay.Run(ctx, replay.Sources{
				Usage: s.Usage, Control: s.Control, Register: s.Register, Ledger: s.Ledger, Payout: s.Payout,
			}, s.Store, "")
			if err != nil {
				return nil, err
			}
			return &answer[replay.Result]{result}, nil
		})
}
