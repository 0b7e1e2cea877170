package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Sources of quotes; they are made up, and so are their rates.
var quoteSources = []string{"feed-north", "feed-river", "feed-atlas"}

const (
	quoteStep   = 5 * time.Minute
	quoteDigits = 8 // decimals of a rate
	onPeg       = 100_000_000

	// From 13:30 to 14:10 the asset is below the band in which usage is priced.
	fallsAt, risesAt = 13*60 + 30, 14*60 + 10 // minutes of the day

	// ReleaseSource and ReleaseRound name the first round after the return to the
	// peg, at which the waiting usage is priced.
	ReleaseSource = "feed-north"
	ReleaseRound  = "20260304-1435"
)

// market is the true rate, which every source reports with an error of its own.
type market struct {
	chance *rand.Rand
	drift  int64 // off the peg, in units of 10^-8
}

func newMarket(chance *rand.Rand) market { return market{chance: chance} }

// hour returns what each source observes in an hour, ascending in time.
func (m *market) hour(h int) []events.QuotesObserved {
	out := make([]events.QuotesObserved, len(quoteSources))
	for i, source := range quoteSources {
		out[i] = events.QuotesObserved{Pair: Pair, Source: source}
	}
	for at := time.Duration(0); at < time.Hour; at += quoteStep {
		minute := h*60 + int(at/time.Minute)
		// A random walk that is pulled back towards the peg, within about three
		// hundredths of a percent.
		m.drift += m.chance.Int64N(6_001) - 3_000 - m.drift/16
		rate := onPeg + m.drift - excursion(minute)
		for i := range out {
			seen := rate + m.chance.Int64N(4_001) - 2_000
			when := Date.Add(time.Duration(minute)*time.Minute + time.Duration(i)*7*time.Second)
			out[i].Rounds = append(out[i].Rounds, events.Round{
				Round: fmt.Sprintf("%s-%02d%02d", Date.Format("20060102"), minute/60, minute%60),
				Time:  when, Rate: rateOf(seen),
			})
		}
	}
	return out
}

// excursion is how far the market is below the peg, in units of 10^-8: half an
// hour down to 3.4 %, and half an hour back.
func excursion(minute int) int64 {
	const depth, ramp = 3_400_000, 20
	switch {
	case minute < fallsAt-ramp || minute > risesAt+ramp:
		return 0
	case minute < fallsAt:
		return depth * int64(minute-(fallsAt-ramp)) / ramp
	case minute <= risesAt:
		return depth
	default:
		return depth * int64(risesAt+ramp-minute) / ramp
	}
}

func rateOf(units int64) money.Amount {
	q, err := money.ParseAmount(fmt.Sprintf("%d.%0*d", units/onPeg, quoteDigits, units%onPeg))
	if err != nil { // A rate near one with eight decimals always fits.
		return money.Amount{}
	}
	return q
}
