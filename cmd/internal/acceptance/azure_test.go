package acceptance

import (
	"encoding/csv"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	azureTrace  = "1-usage/azure-llm-2023-conv.csv"
	chainlink   = "4-rates/chainlink-usdc-usd-rounds-2022-11-20_2023-03-12.csv"
	azureBook   = "examples/azure-llm/book.yaml"
	azureQuoted = "examples/azure-llm/book-quoted.yaml"
	azureMap    = "examples/azure-llm/map.yaml"
)

// rows reads a CSV file with a header; lines that begin with # are comments.
func rows(t *testing.T, file string) (list []map[string]string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all[1:] {
		named := make(map[string]string, len(row))
		for i, value := range row {
			named[all[0][i]] = value
		}
		list = append(list, named)
	}
	return list
}

// "The Azure trace at $2.50 per million input and $10.00 per million output
// tokens charges exactly $96.791325 in all at a quote of 1".
func TestTheAzureTraceChargesExactly(t *testing.T) {
	t.Parallel()
	d := demo(t, "--book", azureBook, "--trace", published.Path(t, azureTrace), "--map", azureMap)
	if *d.Charged != "96.791325" || *d.Earned != "96.791325" || *d.Collected != "96.791325" {
		t.Errorf("charged %s, earned %s, collected %s", *d.Charged, *d.Earned, *d.Collected)
	}
	if *d.Sent != 38_732 || *d.Accepted != 38_732 || *d.Suspended != 0 || *d.Refused != 0 || *d.Duplicate != 0 {
		t.Errorf("%d sent, %d accepted, %d suspended, %d refused, %d duplicates", *d.Sent, *d.Accepted, *d.Suspended, *d.Refused, *d.Duplicate)
	}
}

// round is one observed rate, of USD a USDC.
type round struct {
	id   string
	at   time.Time
	rate *big.Rat
}

func rounds(t *testing.T) (list []round) {
	t.Helper()
	for _, row := range rows(t, published.Path(t, chainlink)) {
		seconds, err := strconv.ParseInt(row["updatedAt"], 10, 64)
		answer, ok := new(big.Rat).SetString(row["answer"] + "/100000000")
		if err != nil || !ok {
			t.Fatalf("round %v", row)
		}
		list = append(list, round{row["roundId"], time.Unix(seconds, 0).UTC(), answer})
	}
	return list
}

// roundHalfEven rounds to 18 decimals, by the definition: down, and up where
// what is left is more than a half, or a half beside an odd digit.
func roundHalfEven(r *big.Rat) *big.Rat {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
	n := new(big.Int).Mul(r.Num(), scale)
	q, rest := new(big.Int).QuoRem(n, r.Denom(), new(big.Int))
	switch twice := rest.Lsh(rest, 1).Cmp(r.Denom()); {
	case twice > 0, twice == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	return new(big.Rat).SetFrac(q, scale)
}

// priced is what the trace comes to when it begins at an instant, by arbitrary
// precision: every event at the last round before its end, rounded once.
// outside counts the events whose round is more than 2 % off the peg.
func priced(t *testing.T, begin time.Time) (sum *big.Rat, outside int) {
	t.Helper()
	observed := rounds(t)
	million := big.NewRat(1_000_000, 1)
	prices := map[string]*big.Rat{"ContextTokens": big.NewRat(25, 10), "GeneratedTokens": big.NewRat(10, 1)}
	sum = new(big.Rat)
	var shift time.Duration
	for i, row := range rows(t, published.Path(t, azureTrace)) {
		at, err := time.Parse("2006-01-02 15:04:05", row["TIMESTAMP"])
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			shift = begin.Sub(at)
		}
		end := at.Add(shift)
		last := observed[0]
		for _, r := range observed {
			if r.at.After(end) {
				break
			}
			last = r
		}
		off := new(big.Rat).Sub(last.rate, big.NewRat(1, 1))
		if off.Abs(off).Cmp(big.NewRat(2, 100)) > 0 {
			outside += 2
			continue
		}
		for column, price := range prices {
			tokens, ok := new(big.Rat).SetString(row[column])
			if !ok {
				t.Fatalf("row %v", row)
			}
			charge := tokens.Mul(tokens, price)
			charge.Quo(charge, million).Quo(charge, last.rate)
			sum.Add(sum, roundHalfEven(charge))
		}
	}
	return sum, outside
}

// "shifted to begin on 2023-03-10 at 12:00Z and priced by the Chainlink rounds,
// the sum equals an independent computation in the tests with
// arbitrary-precision rationals, each event rounded once."
//
// Fails when charges are summed before they are rounded or are cut off, or take
// the round after the event's end. (No charge here is a tie: half up would pass.)
func TestTheAzureTraceAtObservedQuotes(t *testing.T) {
	t.Parallel()
	begin := time.Date(2023, time.March, 10, 12, 0, 0, 0, time.UTC)
	want, outside := priced(t, begin)
	d := demo(t, "--book", azureQuoted, "--trace", published.Path(t, azureTrace), "--map", azureMap,
		"--quotes", published.Path(t, chainlink), "--shift", begin.Format(time.RFC3339))
	if got := new(total); outside != 0 || *d.Suspended != 0 {
		t.Errorf("%d events outside the band, %d suspended", outside, *d.Suspended)
	} else if got.addText(*d.Charged); got.Cmp(want) != 0 {
		t.Errorf("charged %s, want %s", *d.Charged, want.FloatString(18))
	}
}

// waiting is a line of what waits for a price.
type waiting struct {
	Meter, Pair, Period, Quantity string
	Events                        int
}

// "The same trace shifted to begin on 2023-03-11 at 06:00Z, in the middle of
// the depeg: nothing is priced outside the peg band; quantities wait in
// suspense, are visible, and settle when a named person releases them at a
// named round."
//
// Fails when the band is not looked at, when releasing rounds each event rather
// than each line, or when it needs no name.
func TestTheAzureTraceInTheDepeg(t *testing.T) {
	t.Parallel()
	dir, quotes := t.TempDir(), published.Path(t, chainlink)
	begin := time.Date(2023, time.March, 11, 6, 0, 0, 0, time.UTC)
	if _, outside := priced(t, begin); outside != 38_732 {
		t.Fatalf("%d events are outside the band: this is not the depeg", outside)
	}
	s := up(t, dir)
	on := func(arguments ...string) said { return aliquot(t, append(arguments, "--data", dir, "--json")...) }
	on("apply", "-f", azureQuoted).ok(t)
	on("quotes", "import", quotes, "--source", "chainlink").ok(t)
	on("usage", "send", published.Path(t, azureTrace), "--map", azureMap, "--shift", begin.Format(time.RFC3339), "--wait").ok(t)

	if found := s.balances(); len(found) != 0 {
		t.Fatalf("something was priced: %v", found)
	}
	var lines []waiting
	on("suspense", "list").ok(t).into(t, &lines)
	tokens, count := map[string]*total{}, 0
	for _, l := range lines {
		if tokens[l.Meter] == nil {
			tokens[l.Meter] = new(total)
		}
		tokens[l.Meter].addText(l.Quantity)
		count += l.Events
		if l.Pair != "USDC/USD" || l.Period != "2023-03-11" {
			t.Errorf("line %+v", l)
		}
	}
	if count != 38_732 || len(tokens) != 2 || !tokens["llm.tokens.input"].is("22361870") || !tokens["llm.tokens.output"].is("4088665") {
		t.Fatalf("%d events wait, %v", count, tokens)
	}

	observed := rounds(t)
	last := observed[len(observed)-1]
	if refused := on("suspense", "release", "--round", last.id, "--reason", "back at the peg"); refused.code == 0 {
		t.Error("released without a name")
	}
	if refused := on("suspense", "release", "--round", "17", "--reason", "x", "--as", "marta"); refused.code == 0 {
		t.Error("released at a round that nobody observed")
	}
	on("suspense", "release", "--round", last.id, "--reason", "back at the peg", "--as", "marta").ok(t)

	want := new(big.Rat)
	price := map[string]*big.Rat{"llm.tokens.input": big.NewRat(25, 10), "llm.tokens.output": big.NewRat(10, 1)}
	for _, l := range lines {
		quantity := new(total)
		quantity.addText(l.Quantity)
		charge := new(big.Rat).Mul(&quantity.Rat, price[l.Meter])
		charge.Quo(charge, big.NewRat(1_000_000, 1)).Quo(charge, last.rate)
		want.Add(want, roundHalfEven(charge))
	}
	earned := new(total)
	for name, b := range s.balances() {
		if nodeEarned(name) {
			earned.addText(b.Credit)
		}
	}
	if earned.Cmp(want) != 0 {
		t.Errorf("released for %s, want %s", earned, want.FloatString(18))
	}
	lines = nil
	if on("suspense", "list").ok(t).into(t, &lines); len(lines) != 0 {
		t.Errorf("still waiting: %v", lines)
	}
	s.clean(true)
	s.stop()
	released := slices.DeleteFunc(decisions(t, dir), func(d events.Decision) bool { return d.Body.Kind() != events.SuspenseReleased{}.Kind() })
	if n := len(released); n == 0 || released[n-1].Actor != "operator:marta" || released[n-1].Body.(events.SuspenseReleased).Round != last.id {
		t.Errorf("CONTROL has %+v", released)
	}
}

// decisions reads CONTROL of a folder that nobody holds.
func decisions(t *testing.T, dir string) (list []events.Decision) {
	t.Helper()
	for _, m := range messages(t, dir, (*eventlog.Log).Control) {
		d, err := events.DecodeDecision(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// nodeEarned reports whether an account is what a node earned.
func nodeEarned(account string) bool {
	return strings.HasPrefix(account, "node:") && strings.HasSuffix(account, ":earned")
}
