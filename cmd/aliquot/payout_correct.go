package main

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type payoutCorrect struct {
	Payout    string `arg:"" help:"Payout, such as po-ba949796298023edbedc11e4f25ebeda."`
	State     string `required:"" enum:"submitted,confirmed,failed,returned" help:"The payout's state from now on (${enum}); naming the state that it is in confirms it."`
	Reference string `help:"The rail's reference from now on."`
	Reason    string `required:"" help:"Reason, for people who ask later."`
}

func (c *payoutCorrect) Run(ctx context.Context, r *root) error {
	var done api.Corrected
	in := api.Correct{State: c.State, Reference: c.Reference, Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/payouts/corrections/"+url.PathEscape(c.Payout), in, &done); err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) {
		if done.Effect == "unchanged" {
			plain.Fprintf(w, "%s to %s of %s %s: %s, as decided before (control record %d)\n", done.Payout, done.Holder, done.Amount, done.Asset, done.State, done.Position)
			return
		}
		plain.Fprintf(w, "%s to %s of %s %s: from %s to %s (control record %d)\n", done.Payout, done.Holder, done.Amount, done.Asset, done.From, done.State, done.Position)
	})
}
