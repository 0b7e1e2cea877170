package pricing

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
)

func TestChargeBillsUpToTheGranularityAndRoundsOnce(t *testing.T) {
	for _, c := range []struct {
		name                                     string
		price, per, granularity, quote, quantity string
		billed, charge                           string
	}{
		{"an hour at an hour's price", "1.99", "3600", "0", "1", "3600", "3600", "1.99"},
		{"a second of it is rounded to the atto", "1.99", "3600", "0", "1", "1", "1", "0.000552777777777778"},
		// Fails when the unit price is rounded first: 0.000552777777777778 × 3 ends in …334.
		{"three seconds are not three rounded seconds", "1.99", "3600", "0", "1", "3", "3", "0.001658333333333333"},
		{"half an atto goes to the even one below", "0.000000000000000001", "2", "0", "1", "1", "1", "0"},
		{"half an atto goes to the even one above", "0.000000000000000001", "2", "0", "1", "3", "3", "0.000000000000000002"},
		// Fails when granularity is not applied.
		{"61 seconds by the minute are two", "0.60", "60", "60", "1", "61", "120", "1.2"},
		{"60 seconds by the minute are one", "0.60", "60", "60", "1", "60", "60", "0.6"},
		{"an atto of a second by the minute is one", "0.60", "60", "60", "1", "0.000000000000000001", "60", "0.6"},
		{"nothing by the minute is nothing", "0.60", "60", "60", "1", "0", "0", "0"},
		{"a meter may be free", "0", "1", "0", "0.99", "5", "5", "0"},
		// Fails when the price is multiplied by the quote.
		{"a coin that is worth less is paid in more of it", "0.98", "1", "0", "0.98", "2", "2", "2"},
		{"a quote with no end to it is rounded once", "1", "1", "0", "3", "1", "1", "0.333333333333333333"},
	} {
		t.Run(c.name, func(t *testing.T) {
			line := Line{Price: money.Price{Amount: amount(t, c.price), Per: quantity(t, c.per)}, Granularity: quantity(t, c.granularity)}
			billed, charge, err := charge(&line, amount(t, c.quote), quantity(t, c.quantity))
			if err != nil || billed != quantity(t, c.billed) || charge != amount(t, c.charge) {
				t.Errorf("got %v for %v, %v; want %s for %s", charge, billed, err, c.charge, c.billed)
			}
			// What waited in suspense was billed already: pricing it changes no quantity.
			if again, err := line.Billed(billed); err != nil || again != billed {
				t.Errorf("billed twice: %v, %v", again, err)
			}
		})
	}
}

func TestChargeFailsRatherThanWraps(t *testing.T) {
	line := Line{Card: "a@1", Price: money.Price{Amount: amount(t, "1e15"), Per: quantity(t, "1")}}
	if _, _, err := charge(&line, money.One, quantity(t, "1e15")); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("overflow: got %v", err)
	}
	if _, _, err := charge(&line, money.One, quantity(t, "-1")); !errors.Is(err, money.ErrDomain) {
		t.Errorf("below zero: got %v", err)
	}
	if _, _, err := charge(&line, money.Amount{}, quantity(t, "1")); !errors.Is(err, money.ErrDomain) {
		t.Errorf("a quote of zero: got %v", err)
	}
	line.Granularity = quantity(t, "1.1e20")
	if _, _, err := charge(&line, money.One, quantity(t, "1.2e20")); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("billing beyond the range: got %v", err)
	}
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	table, with, end := benchTable(t)
	line, ok := table.find("book", "gpu", with, end)
	if !ok {
		t.Fatal("no line")
	}
	rate, err := line.Rate(amount(t, "0.99931"))
	if err != nil {
		t.Fatal(err)
	}
	q := quantity(t, "37.25")
	if n := testing.AllocsPerRun(100, func() { line.ChargeAt(rate, q) }); n != 0 {
		t.Errorf("ChargeAt: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { table.find("book", "gpu", with, end) }); n != 0 {
		t.Errorf("Find: %v allocations", n)
	}
}

// publishedRows reads a file of the published data.
func publishedRows(t testing.TB, name string) [][]string {
	t.Helper()
	r := csv.NewReader(published.Open(t, name))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func llmTable(t testing.TB) *Table {
	var table Table
	d := events.CardDeclared{Card: "llm", Version: 1, Book: "book", Currency: "USD", Effective: time.Unix(0, 0)}
	for meter, price := range map[events.Meter]string{"llm.tokens.input": "2.50", "llm.tokens.output": "10.00"} {
		d.Rules = append(d.Rules, events.CardRule{Meter: meter, Price: amount(t, price), Per: quantity(t, "1000000")})
	}
	if err := table.Add(d); err != nil {
		t.Fatal(err)
	}
	return &table
}

func TestTheAzureHourChargesExactly(t *testing.T) {
	rows := publishedRows(t, "1-usage/azure-llm-2023-conv.csv")
	table := llmTable(t)
	var total money.Amount
	var tokens [2]money.Quantity
	for _, row := range rows {
		end, err := time.Parse("2006-01-02 15:04:05", row[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, meter := range []events.Meter{"llm.tokens.input", "llm.tokens.output"} {
			line, ok := table.find("book", meter, nil, end.UnixNano())
			if !ok {
				t.Fatal("no line")
			}
			billed, charge, err := charge(&line, money.One, quantity(t, row[i+1]))
			if err != nil {
				t.Fatal(err)
			}
			if total, err = total.Add(charge); err != nil {
				t.Fatal(err)
			}
			if tokens[i], err = tokens[i].Add(billed); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := fmt.Sprint(len(rows), tokens[0], tokens[1], total); got != "19366 22361870 4088665 96.791325" {
		t.Errorf("got rows, input, output and charges of %s", got)
	}
}

// TestTheAzureHourOfMarch2023EqualsRationals prices the trace, shifted to begin
// on 2023-03-10 at 12:00 and in the slide of the night after, by the published
// Chainlink rounds.
//
// Fails when a charge is rounded twice, rounded half-up or truncated, or when
// the round after the event's end, or the one before the latest, is taken.
func TestTheAzureHourOfMarch2023EqualsRationals(t *testing.T) {
	rows := publishedRows(t, "1-usage/azure-llm-2023-conv.csv")
	table := llmTable(t)
	var board quotes.Board
	if err := board.SetPolicy(events.QuotePolicyDeclared{
		Pair: "USDC/USD", HeartbeatSeconds: 86400, MarginSeconds: 100, MinSources: 1,
		Peg: amount(t, "1"), PegWarn: amount(t, "0.005"), PegHold: amount(t, "0.02"),
	}); err != nil {
		t.Fatal(err)
	}
	observed := events.QuotesObserved{Pair: "USDC/USD", Source: "chainlink"}
	type round struct {
		at     int64
		answer *big.Int // of 10⁻⁸
	}
	var rounds []round
	for _, row := range publishedRows(t, "4-rates/chainlink-usdc-usd-rounds-2022-11-20_2023-03-12.csv") {
		second, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := new(big.Int).SetString(row[1], 10)
		rounds = append(rounds, round{second * 1e9, answer})
		observed.Rounds = append(observed.Rounds, events.Round{Round: row[0], Time: time.Unix(second, 0), Rate: amount(t, row[1]+"e-8")})
	}
	if err := board.Observe(observed); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		begin  time.Time
		rounds int // that prices rest on
	}{
		{time.Date(2023, 3, 10, 12, 0, 0, 0, time.UTC), 1},
		{time.Date(2023, 3, 11, 2, 20, 0, 0, time.UTC), 6}, // falling from 0.99 to the hold at 03:20:23
	} {
		t.Run(c.begin.Format(time.RFC3339), func(t *testing.T) {
			shift, total, want, used := int64(0), money.Amount{}, new(big.Int), map[string]int{}
			for i, row := range rows {
				at, err := time.Parse("2006-01-02 15:04:05", row[0])
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					shift = c.begin.UnixNano() - at.UnixNano()
				}
				end := at.UnixNano() + shift
				latest := rounds[sort.Search(len(rounds), func(j int) bool { return rounds[j].at > end })-1]
				for j, meter := range []events.Meter{"llm.tokens.input", "llm.tokens.output"} {
					line, _ := table.find("book", meter, nil, end)
					v := board.For("USDC", line.Currency, end)
					if v.Held {
						t.Fatalf("row %d is held: %s", i, v.Reason)
					}
					used[v.ID]++
					_, charge, err := charge(&line, v.Quote, quantity(t, row[j+1]))
					if err != nil {
						t.Fatal(err)
					}
					if total, err = total.Add(charge); err != nil {
						t.Fatal(err)
					}
					// tokens × cents ÷ 100 ÷ 10⁶ ÷ (answer ÷ 10⁸), in attos: tokens × cents × 10¹⁸ ÷ answer.
					tokens, _ := new(big.Int).SetString(row[j+1], 10)
					exact := new(big.Int).Mul(tokens, big.NewInt([]int64{250, 1000}[j]))
					want.Add(want, halfEven(exact.Mul(exact, big.NewInt(1e18)), latest.answer))
				}
			}
			hi, lo := total.Limbs()
			got := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(hi), 64), new(big.Int).SetUint64(lo))
			if got.Cmp(want) != 0 {
				t.Errorf("got %v attos, want %v", got, want)
			}
			if len(used) != c.rounds {
				t.Errorf("%d rounds priced, want %d: %v", len(used), c.rounds, used)
			}
			t.Logf("%s USDC in all by %v", total, used)
		})
	}
}

// halfEven divides and rounds.
func halfEven(num, den *big.Int) *big.Int {
	q, rest := new(big.Int).QuoRem(num, den, new(big.Int))
	if c := rest.Lsh(rest, 1).Cmp(den); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// benchTable has ten cards of six rules and four versions each.
func benchTable(t testing.TB) (*Table, []events.Attribute, int64) {
	var table Table
	for i := range 10 {
		for v := range 4 {
			if err := table.Add(declare(t, fmt.Sprintf("card-%d", i), v+1, day(1+v*5),
				"gpu @1", "gpu model=h100 @2", "gpu model=a100 @2", "gpu model=h100 region=eu @3", "gpu model=h100 region=us @3", "tokens @1")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &table, attributes("model=h100 region=us tier=2"), day(12).UnixNano()
}

func BenchmarkFind(b *testing.B) {
	table, with, end := benchTable(b)
	b.ReportAllocs()
	for b.Loop() {
		table.find("book", "gpu", with, end)
	}
}

func BenchmarkChargeAt(b *testing.B) {
	for _, c := range []struct{ name, granularity, quote string }{
		{"at par", "0", "1"}, {"at a quote of 8 places", "0", "0.99931234"}, {"by the minute", "60", "0.99931234"},
	} {
		b.Run(c.name, func(b *testing.B) {
			line := Line{Price: money.Price{Amount: amount(b, "1.99"), Per: quantity(b, "3600")}, Granularity: quantity(b, c.granularity)}
			rate, err := line.Rate(amount(b, c.quote))
			if err != nil {
				b.Fatal(err)
			}
			q := quantity(b, "37.25")
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := line.ChargeAt(rate, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRate(b *testing.B) {
	line := Line{Price: money.Price{Amount: amount(b, "1.99"), Per: quantity(b, "3600")}}
	quote := amount(b, "0.99931234")
	for b.Loop() {
		if _, err := line.Rate(quote); err != nil {
			b.Fatal(err)
		}
	}
}
