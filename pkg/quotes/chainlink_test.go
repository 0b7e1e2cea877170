package quotes

import (
	"encoding/csv"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// chainlink reads the 400 published rounds of USDC/USD.
func chainlink(t testing.TB) events.QuotesObserved {
	r := csv.NewReader(published.Open(t, "4-rates/chainlink-usdc-usd-rounds-2022-11-20_2023-03-12.csv"))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	o := events.QuotesObserved{Pair: usdc, Source: "chainlink"}
	for _, row := range rows[1:] {
		second, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		rate, err := money.ParseAmount(row[1] + "e-8")
		if err != nil {
			t.Fatal(err)
		}
		o.Rounds = append(o.Rounds, events.Round{Round: row[0], Time: time.Unix(second, 0).UTC(), Rate: rate})
	}
	return o
}

func chainlinkBoard(t testing.TB) (*Board, events.QuotesObserved) {
	o := chainlink(t)
	var b Board
	if err := b.SetPolicy(events.QuotePolicyDeclared{
		Pair: usdc, HeartbeatSeconds: 86400, MarginSeconds: 100, MinSources: 1,
		Peg: amount(t, "1"), PegWarn: amount(t, "0.005"), PegHold: amount(t, "0.02"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Observe(o); err != nil {
		t.Fatal(err)
	}
	return &b, o
}

// stretch is a maximal run of ends with one standing.
type stretch struct {
	From, Until string
	Standing    string
}

func TestTheDepegOfMarch2023IsHeldWhereRationalsSaySo(t *testing.T) {
	b, o := chainlinkBoard(t)
	if len(o.Rounds) != 400 {
		t.Fatalf("%d rounds", len(o.Rounds))
	}
	begin := time.Date(2023, 3, 10, 0, 0, 0, 0, time.UTC).UnixNano()
	finish := o.Rounds[399].Time.UnixNano() + int64(86500*time.Second) + 10

	// By the board: from verdict to verdict by Until alone, as settle does.
	var got []stretch
	visits := 0
	for end := begin; end < finish; visits++ {
		v := b.At(usdc, end)
		standing := "priced"
		if v.Held {
			standing = string(v.Reason)
		}
		got = extend(got, standing, end)
		end = v.Until
	}
	// By rationals: second by second and a nanosecond either side of each.
	var want []stretch
	fiftieth, hour := big.NewRat(2, 100), int64(3600)
	for second := begin / 1e9; second <= finish/1e9; second++ {
		for _, end := range []int64{second * 1e9, second*1e9 + 1} {
			if end >= finish {
				continue
			}
			standing := "missing"
			for i := len(o.Rounds) - 1; i >= 0; i-- {
				r := o.Rounds[i]
				if r.Time.UnixNano() > end {
					continue
				}
				off := new(big.Rat).Sub(rational(r.Rate), big.NewRat(1, 1))
				switch {
				case end-r.Time.UnixNano() > (24*hour+100)*1e9:
					standing = "stale"
				case off.Abs(off).Cmp(fiftieth) > 0:
					standing = "off_peg"
				default:
					standing = "priced"
				}
				break
			}
			want = extend(want, standing, end)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("stretch %d: got %v, want %v", i, got[i], want[i])
		}
		t.Log(got[i])
	}
	t.Logf("%d verdicts for %d rounds", visits, len(o.Rounds))
	// Read from the published rounds by hand: the first below 0.98 is 0.97651903,
	// and the first after it that is not is 0.98190000 at 20:37:23.
	if hold := (stretch{"2023-03-11T03:20:23Z", "2023-03-11T20:37:23Z", "off_peg"}); got[1] != hold {
		t.Errorf("the hold is %v, want %v", got[1], hold)
	}
	// The last round is below 0.98 too, and a heartbeat with its margin after it nothing is fresh.
	if last := got[len(got)-1]; last.From != "2023-03-13T08:51:27.000000001Z" || last.Standing != "stale" {
		t.Errorf("it ends with %v", last)
	}
}

func extend(all []stretch, standing string, end int64) []stretch {
	if n := len(all); n > 0 {
		if all[n-1].Standing == standing {
			return all
		}
		all[n-1].Until = stamp(end)
	}
	return append(all, stretch{From: stamp(end), Standing: standing})
}

func TestNoRoundOfMonthsBeforeTheDepegIsHeld(t *testing.T) {
	// The feed's largest gap is 86,484 s: within heartbeat and margin. Fails
	// when the margin is not added, as 110 of the rounds came later than the heartbeat.
	b, o := chainlinkBoard(t)
	for end := o.Rounds[0].Time.UnixNano(); end < time.Date(2023, 3, 11, 0, 0, 0, 0, time.UTC).UnixNano(); {
		v := b.At(usdc, end)
		if v.Held {
			t.Fatalf("held at %s: %s", stamp(end), v.Reason)
		}
		end = v.Until
	}
}
