package main

import (
	"context"
	"io"
	"net/http"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type payoutRun struct {
	Token string `required:"" help:"Token that owes the payouts."`
	Name  string `help:"Id of the run; a second request with the same id is the same run." placeholder:"RUN"`
}

func (c *payoutRun) Run(ctx context.Context, r *root) error {
	var made api.PayoutRun
	if err := r.ask(ctx, http.MethodPost, "/v1/payouts/runs", map[string]string{"token": c.Token, "run": c.Name}, &made); err != nil {
		return err
	}
	return r.print(made, func(w io.Writer) {
		t := plain.NewTable(w, "PAYOUT RUN", "TOKEN", "ASSET", "PAYOUTS", "PLANNED")
		for _, a := range made.Assets {
			t.Row(made.Run, made.Token, a.Asset, a.Payouts, a.Planned)
		}
		t.End()
		if made.Effect == "unchanged" {
			plain.Fprintf(w, "nothing was added: %s\n", made.Reason)
		}
	})
}
