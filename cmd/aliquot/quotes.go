package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/quotefile"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type quotesCommand struct {
	Import   quotesImport   `cmd:"" help:"Import observed rates: the exports of Chainlink, Kraken, Coinbase, Binance, CoinGecko, CoinMarketCap and Dune, or any file with a time and a rate."`
	Withdraw quotesWithdraw `cmd:"" help:"Take back a round that was observed wrongly; --as names the person responsible for it."`
}

type quotesImport struct {
	File         string `arg:"" help:"CSV or JSON file, also compressed." type:"existingfile"`
	Pair         string `default:"USDC/USD" help:"Asset and currency."`
	Source       string `required:"" help:"Source of the rates, such as chainlink or kraken."`
	Round        string `help:"Column with the round; without one, the time of a round is its name." placeholder:"COLUMN"`
	Time         string `help:"Column with the time: RFC 3339, or Unix seconds, milliseconds, microseconds or nanoseconds." placeholder:"COLUMN"`
	Rate         string `help:"Column with the rate." placeholder:"COLUMN"`
	Volume       string `help:"Column with the volume." placeholder:"COLUMN"`
	Decimals     int    `help:"Decimal places that an integer rate leaves out; 8 in a Chainlink export." default:"-1"`
	SkipNoVolume bool   `help:"Skip rows whose volume is zero or empty."`
	UTC          bool   `name:"utc" help:"Read times without a zone as UTC."`

	rowfile.Flags `embed:""`
}

func (c *quotesImport) Run(ctx context.Context, r *root) error {
	file, err := c.read()
	if err != nil {
		return err
	}
	var done api.Observed
	in := events.QuotesObserved{Pair: events.Pair(c.Pair), Source: c.Source, Rounds: file.Rounds}
	if err := r.ask(ctx, http.MethodPost, "/v1/quotes", in, &done); err != nil {
		return err
	}
	err = r.print(done, func(w io.Writer) {
		plain.Fprintf(w, "%d rounds recorded, %d already known, %d refused", done.Rounds, done.Known, len(done.Refused))
		if file.LeftOut > 0 {
			plain.Fprintf(w, ", %d rows without volume skipped", file.LeftOut)
		}
		fmt.Fprintln(w)
		for _, refused := range done.Refused {
			plain.Fprintf(w, "  %s: line %d: %s\n", filepath.Base(c.File), file.Lines[refused.Index], refused.Reason)
		}
		for _, v := range done.Void {
			plain.Fprintf(w, "  %s\n", v.WhyVoid())
		}
	})
	if err == nil && len(done.Refused)+len(done.Void) > 0 {
		return errFalse
	}
	return err
}

// read parses the file; every error names the file, the line and the column.
func (c *quotesImport) read() (quotefile.File, error) {
	rows, err := c.Flags.Options(filepath.Base(c.File))
	if err != nil {
		return quotefile.File{}, err
	}
	if rows.Comment == 0 && rows.Format != rowfile.JSON {
		rows.Comment = '#'
	}
	return quotefile.Read(quotefile.Options{
		Rows: rows, Round: c.Round, Time: c.Time, Rate: c.Rate, Volume: c.Volume,
		Decimals: c.Decimals, SkipNoVolume: c.SkipNoVolume, UTC: c.UTC,
	}, func(o rowfile.Options) (*rowfile.Reader, error) { return rowfile.Open(c.File, o) })
}
