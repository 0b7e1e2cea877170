package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/aliquot-engine/aliquot/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

type quotesCommand struct {
	Import   quotesImport   `cmd:"" help:"Import rounds from a CSV file with a header."`
	Withdraw quotesWithdraw `cmd:"" help:"Take back a round that was observed wrongly; --as says who answers for it."`
}

// quotesImport reads `round,time,rate`, or the columns of a Chainlink export:
// roundId, updatedAt (Unix seconds) and answer (an integer of 10^-decimals).
type quotesImport struct {
	File     string `arg:"" help:"CSV file; lines that begin with # are comments." type:"existingfile"`
	Pair     string `default:"USDC/USD" help:"Asset and currency."`
	Source   string `default:"chainlink" help:"Who observed."`
	Round    string `help:"Column with the round." default:"" placeholder:"COLUMN"`
	Time     string `help:"Column with the time, RFC 3339 or Unix seconds." default:"" placeholder:"COLUMN"`
	Rate     string `help:"Column with the rate." default:"" placeholder:"COLUMN"`
	Decimals int32  `help:"Decimal places that an integer rate leaves out; 8 in a Chainlink export." default:"-1"`
}

func (c *quotesImport) Run(ctx context.Context, r *root) error {
	observed, err := c.read()
	if err != nil {
		return err
	}
	var done api.Applied
	if err := r.ask(ctx, http.MethodPost, "/v1/quotes", observed, &done); err != nil {
		return err
	}
	return r.applied(done)
}

// read parses the file; every error names the line and the column.
func (c *quotesImport) read() (events.QuotesObserved, error) {
	out := events.QuotesObserved{Pair: events.Pair(c.Pair), Source: c.Source}
	file, err := os.Open(c.File)
	if err != nil {
		return out, err
	}
	defer func() { _ = file.Close() }()
	rows := csv.NewReader(file)
	rows.Comment, rows.ReuseRecord = '#', true
	header, err := rows.Read()
	if err != nil {
		return out, fmt.Errorf("%s: reading the header: %w", c.File, err)
	}
	index := make(map[string]int)
	for i, name := range header {
		index[strings.TrimSpace(name)] = i
	}
	round, at, rate, decimals := c.Round, c.Time, c.Rate, c.Decimals
	_, chainlink := index["answer"]
	for _, pick := range []struct {
		column         *string
		plain, foreign string
	}{{&round, "round", "roundId"}, {&at, "time", "updatedAt"}, {&rate, "rate", "answer"}} {
		if *pick.column == "" {
			*pick.column = pick.plain
			if chainlink {
				*pick.column = pick.foreign
			}
		}
		if _, ok := index[*pick.column]; !ok {
			return out, fmt.Errorf("%s: line 1: no column %q", c.File, *pick.column)
		}
	}
	if decimals < 0 {
		decimals = 0
		if chainlink {
			decimals = 8
		}
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, fmt.Errorf("%s: %w", c.File, err)
		}
		line, _ := rows.FieldPos(0)
		when, err := parseInstant(row[index[at]])
		if err != nil {
			return out, fmt.Errorf("%s: line %d: %s: %w", c.File, line, at, err)
		}
		d, err := decimal.NewFromString(row[index[rate]])
		if err != nil {
			return out, fmt.Errorf("%s: line %d: %s: %w", c.File, line, rate, err)
		}
		amount, err := money.AmountFromDecimal(d.Shift(-decimals))
		if err != nil {
			return out, fmt.Errorf("%s: line %d: %s: %w", c.File, line, rate, err)
		}
		out.Rounds = append(out.Rounds, events.Round{Round: strings.Clone(row[index[round]]), Time: when, Rate: amount})
	}
	if len(out.Rounds) == 0 {
		return out, fmt.Errorf("%s: no rounds", c.File)
	}
	return out, nil
}

// parseInstant reads RFC 3339 or whole Unix seconds.
func parseInstant(s string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		if seconds < 0 || seconds >= math.MaxInt64/int64(time.Second) {
			return time.Time{}, fmt.Errorf("%q is not between 1970 and 2262", s)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	t, err := events.ParseTime(s)
	if err != nil {
		return t, fmt.Errorf("%w, nor Unix seconds", err)
	}
	return t, nil
}

type suspenseCommand struct {
	List    suspenseList    `cmd:"" help:"List the quantities that wait for a price."`
	Release suspenseRelease `cmd:"" help:"Price what waits for a pair at a named round; --as says who answers for it."`
}

type suspenseList struct{}

func (suspenseList) Run(ctx context.Context, r *root) error {
	var waiting []api.Waiting
	if err := r.ask(ctx, http.MethodGet, "/v1/suspense", nil, &waiting); err != nil {
		return err
	}
	return r.print(waiting, func(w io.Writer) {
		if len(waiting) == 0 {
			fmt.Fprintln(w, "nothing waits")
			return
		}
		t := newTable(w, "BOOK", "NODE", "CUSTOMER", "METER", "CARD", "PAIR", "PERIOD", "QUANTITY", "EVENTS")
		for _, l := range waiting {
			t.row(l.Book, l.Node, l.Customer, l.Meter, l.Card, l.Pair, l.Period, l.Quantity, l.Events)
		}
		t.end()
	})
}

type suspenseRelease struct {
	Pair   string `default:"USDC/USD" help:"Asset and currency."`
	Source string `default:"chainlink" help:"Source of the round."`
	Round  string `required:"" help:"Round whose rate prices it."`
	Book   string `help:"Only this book."`
	Reason string `required:"" help:"Why this round."`
}

func (c *suspenseRelease) Run(ctx context.Context, r *root) error {
	if r.As == "" && r.Token == "" {
		return errors.New("--as NAME is needed: a release names the person who answers for it")
	}
	var done api.Decided
	in := events.SuspenseReleased{Pair: events.Pair(c.Pair), Book: events.Book(c.Book), Source: c.Source, Round: c.Round, Reason: c.Reason}
	if err := r.ask(ctx, http.MethodPost, "/v1/suspense/release", in, &done); err != nil {
		return err
	}
	return r.decided(done)
}
