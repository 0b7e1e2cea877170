package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type balancesCommand struct {
	Prefix string `arg:"" optional:"" help:"Only accounts whose names begin with this, such as customer: or node:gpu-7."`
}

func (c *balancesCommand) Run(ctx context.Context, r *root) error {
	var all []api.Balance
	if err := r.ask(ctx, http.MethodGet, "/v1/balances?prefix="+url.QueryEscape(c.Prefix), nil, &all); err != nil {
		return err
	}
	return r.print(all, func(w io.Writer) {
		t := plain.NewTable(w, "ACCOUNT", "ASSET", "DEBIT", "CREDIT", "NET")
		for _, b := range all {
			t.Row(b.Account, b.Asset, b.Debit, b.Credit, b.Net)
		}
		t.End()
	})
}

type openapiCommand struct {
	Output string `short:"o" default:"-" help:"File to write; - is standard output."`
}

func (c *openapiCommand) Run() error {
	description, err := api.New(api.Config{}).OpenAPI()
	if err != nil {
		return err
	}
	if c.Output == "-" {
		_, err := fmt.Println(string(description))
		return err
	}
	return os.WriteFile(c.Output, description, 0o644)
}
