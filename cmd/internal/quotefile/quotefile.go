// Package quotefile reads observed rates from the files in which exchanges,
// oracles and data services export them.
//
// The method: a table says by which columns each kind of file is recognised,
// and which of them have the time and the rate. A row is one round; where the
// file does not number its rounds, a round is named by its time. The rounds come
// back ascending in time, whatever the order of the file. docs/files.md is the
// manual.
//
// A row that stands for a stretch of time (a candle) was observed when the rate
// was: at the end, where the file says when that is, and then its close is the
// rate; otherwise at the beginning, and its open is the rate. A close that is
// dated by its beginning would be a rate that nobody could know yet.
//
// # Invariants
//
//   - All or nothing: a file with one error gives no rounds; the error names
//     file, line and column of each, up to 20.
//   - Exact: a rate is the number that the file has, never a float.
package quotefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// layout is one kind of file. Names of columns are in any case.
type layout struct {
	name              string
	round, time, rate []string // the column is called by one of them; that of the round may be absent
	volume            []string
	decimals          int      // places that an integer rate leaves out
	headless          []string // names of all columns of a file without a header line
	needs             []string // further columns by which the layout is recognised
}

// layouts are the kinds of files that are recognised, the first that fits.
var layouts = []layout{
	{name: "aliquot", round: []string{"round"}, time: []string{"time"}, rate: []string{"rate"}},
	{name: "Chainlink", round: []string{"roundId"}, time: []string{"updatedAt"}, rate: []string{"answer"}, decimals: 8},
	{name: "CoinGecko", time: []string{"snapped_at"}, rate: []string{"price"}, volume: []string{"total_volume"}},
	{name: "CoinMarketCap", time: []string{"timeClose"}, rate: []string{"close"}, volume: []string{"volume"}},
	{
		name: "Binance", time: []string{"close_time", "close time"}, rate: []string{"close"}, volume: []string{"volume"},
		headless: []string{
			"open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
			"taker_buy_volume", "taker_buy_quote_volume", "ignore",
		},
	},
	{
		name: "Kraken", time: []string{"time"}, rate: []string{"open"}, volume: []string{"volume"}, needs: []string{"trades"},
		headless: []string{"time", "open", "high", "low", "close", "volume", "trades"},
	},
	{
		name: "Coinbase", time: []string{"time", "timestamp", "unix"}, rate: []string{"open"}, volume: []string{"volume"},
		headless: []string{"time", "low", "high", "open", "close", "volume"},
	},
	{name: "trades", round: []string{"trade_id"}, time: []string{"time", "timestamp", "created_at"}, rate: []string{"price"}, volume: []string{"size", "quantity", "volume"}},
	{name: "Dune", time: []string{"minute", "hour", "day", "block_time"}, rate: []string{"price"}, volume: []string{"volume"}},
}

// Options say how a file is read. The zero value recognises the layout.
type Options struct {
	Rows              rowfile.Options
	Round, Time, Rate string // columns by name; empty: those of the layout
	Volume            string // column; empty: that of the layout
	Decimals          int    // places that integer rates leave out; -1: those of the layout
	SkipNoVolume      bool   // leave out rows of which the volume is zero or empty
	UTC               bool   // times without a zone are UTC; otherwise they are refused
}

// File is what was read.
type File struct {
	Layout  string
	Rounds  []events.Round // ascending in time
	Lines   []int          // of each round
	LeftOut int            // rows without volume
}

// Read reads a file. open opens it with the given options, perhaps twice: a file
// without a header line has to be read as one.
func Read(o Options, open func(rowfile.Options) (*rowfile.Reader, error)) (File, error) {
	rows, err := open(o.Rows)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = rows.Close() }()
	if o.Rows.Columns == nil && isHeadless(rows) {
		if err := rows.Close(); err != nil {
			return File{}, err
		}
		columns, err := headless(rows)
		if err != nil {
			return File{}, err
		}
		o.Rows.Columns = columns
		if rows, err = open(o.Rows); err != nil {
			return File{}, err
		}
	}
	c, err := o.columns(rows)
	if err != nil {
		return File{}, err
	}
	return c.read(rows)
}

// isHeadless reports whether the header line of a CSV file is a row of numbers.
func isHeadless(rows *rowfile.Reader) bool {
	return rows.Format() == rowfile.CSV && !slices.ContainsFunc(rows.Columns(), func(name string) bool {
		return strings.Trim(name, "0123456789.") != ""
	})
}

func headless(rows *rowfile.Reader) ([]string, error) {
	n := len(rows.Columns())
	for _, l := range layouts {
		if len(l.headless) == n {
			return l.headless, nil
		}
	}
	return nil, &rowfile.Error{File: rows.Name(), Line: 1, Err: fmt.Errorf("has no header line, and its %d columns are of no known export: name them", n)}
}

// columns are where a row has what.
type columns struct {
	o                         Options
	layout                    string
	round, time, rate, volume rowfile.Column
	decimals                  int
}

// columns recognises the layout, and finds the columns that the options name.
func (o Options) columns(rows *rowfile.Reader) (columns, error) {
	c := columns{o: o, round: rowfile.None, volume: rowfile.None, decimals: o.Decimals}
	is := layout{name: "named columns"}
	if o.Time == "" || o.Rate == "" {
		i := slices.IndexFunc(layouts, func(l layout) bool {
			return (o.Time != "" || has(rows, l.time)) && (o.Rate != "" || has(rows, l.rate)) && !slices.ContainsFunc(l.needs, func(name string) bool { return !has(rows, []string{name}) })
		})
		if i < 0 {
			return c, &rowfile.Error{File: rows.Name(), Line: 1, Err: fmt.Errorf("is no known export of rates: name the columns of time and rate; its columns are %s", strings.Join(clipped(rows.Columns()), ", "))}
		}
		is = layouts[i]
	}
	c.layout = is.name
	if c.decimals < 0 {
		c.decimals = is.decimals
	}
	var errs []error
	pick := func(into *rowfile.Column, what, named string, names []string, must bool) {
		var err error
		switch {
		case named != "":
			*into, err = rows.Column(named)
		case must || has(rows, names):
			*into, err = rows.Find(what, names...)
		}
		errs = append(errs, err)
	}
	pick(&c.round, "round", o.Round, is.round, false)
	pick(&c.time, "time", o.Time, is.time, true)
	pick(&c.rate, "rate", o.Rate, is.rate, true)
	pick(&c.volume, "volume", o.Volume, is.volume, o.SkipNoVolume)
	return c, errors.Join(errs...)
}

func has(rows *rowfile.Reader, names []string) bool {
	return slices.ContainsFunc(rows.Columns(), func(column string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, column) })
	})
}

func clipped(names []string) []string {
	out := make([]string, 0, 20)
	for _, name := range names[:min(len(names), 20)] {
		out = append(out, rowfile.Clip(name))
	}
	return out
}

// read reads all rows.
func (c *columns) read(rows *rowfile.Reader) (File, error) {
	out := File{Layout: c.layout}
	err := rows.Each(func(row *rowfile.Row, _ int) error {
		if c.o.SkipNoVolume {
			none, err := c.noVolume(row)
			if err != nil {
				return err
			}
			if none {
				out.LeftOut++
				return nil
			}
		}
		round, err := c.observed(row)
		if err != nil {
			return err
		}
		out.Rounds, out.Lines = append(out.Rounds, round), append(out.Lines, row.Line())
		return nil
	})
	if err != nil {
		return File{}, err
	}
	if len(out.Rounds) == 0 {
		return File{}, &rowfile.Error{File: rows.Name(), Err: errors.New("has no rounds")}
	}
	out.sort()
	return out, nil
}

// sort orders by time; rounds of one time stay as they are in the file.
func (f *File) sort() {
	order := make([]int, len(f.Rounds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return f.Rounds[a].Time.Compare(f.Rounds[b].Time) })
	rounds, lines := make([]events.Round, len(order)), make([]int, len(order))
	for i, from := range order {
		rounds[i], lines[i] = f.Rounds[from], f.Lines[from]
	}
	f.Rounds, f.Lines = rounds, lines
}

func (c *columns) noVolume(row *rowfile.Row) (bool, error) {
	if row.Text(c.volume) == "" {
		return true, nil
	}
	text, err := row.Number(c.volume)
	if err != nil {
		return false, err
	}
	if mantissa, _, _ := strings.Cut(strings.ToLower(text), "e"); strings.Trim(mantissa, "0.+-") == "" {
		return true, nil
	}
	return false, nil
}

// observed reads one round.
func (c *columns) observed(row *rowfile.Row) (events.Round, error) {
	at, err := parseTime(row.Text(c.time), c.o.UTC)
	if err != nil {
		return events.Round{}, row.Error(c.time, err)
	}
	rate, err := c.amount(row)
	if err != nil {
		return events.Round{}, err
	}
	name := row.Text(c.round)
	if c.round == rowfile.None {
		name = at.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	if err := events.CheckName(name); err != nil {
		return events.Round{}, row.Error(c.round, err)
	}
	return events.Round{Round: strings.Clone(name), Time: at, Rate: rate}, nil
}

// amount reads the rate. An integer that leaves decimals out has none.
func (c *columns) amount(row *rowfile.Row) (money.Amount, error) {
	text, err := row.Number(c.rate)
	if err != nil {
		return money.Amount{}, err
	}
	if c.decimals > 0 {
		if strings.Trim(text, "0123456789") != "" {
			return money.Amount{}, row.Errorf(c.rate, "%q is no whole number, and the rates of this file leave %d decimals out", rowfile.Clip(text), c.decimals)
		}
		text = fmt.Sprintf("%se-%d", text, c.decimals)
	}
	rate, err := money.ParseAmount(text)
	if err == nil && rate.Sign() <= 0 {
		err = errors.New("is not above zero")
	}
	if err != nil {
		return money.Amount{}, row.Error(c.rate, err)
	}
	return rate, nil
}
