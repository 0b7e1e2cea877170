package directory

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// defaultFuture is the tolerance if no book sets one, in seconds.
const defaultFuture = 300

// Future returns the times in a decision that are too far after at, the time of
// its recording, as [events.Problems] that name the fields; it returns nil if
// there are none. A quote, a record date and the beginning of a closed period
// may be after at by the book's future_seconds; for a pair, by the largest
// future_seconds of the books that charge in its asset. A period that has not
// ended is closed only with early.
func (d *Directory) Future(body events.Body, at time.Time) error {
	r := ruleOf(body)
	if r.future == nil {
		return nil
	}
	if p := r.future(d, body, at); len(p) > 0 {
		return p
	}
	return nil
}

func (d *Directory) roundsAhead(b events.QuotesObserved, at time.Time) events.Problems {
	asset, _, _ := b.Pair.Split()
	latest := events.Later(at.UnixNano(), d.tolerance(asset))
	for i, r := range b.Rounds {
		if r.Time.UnixNano() > latest { // Rounds ascend, so all that follow are even later.
			return events.Problems{{Field: fmt.Sprintf("rounds[%d].time", i), Detail: beyond("round "+r.Round, r.Time, latest)}}
		}
	}
	return nil
}

func (d *Directory) recordAhead(b events.DistributionDeclared, at time.Time) events.Problems {
	token := d.tokens[b.Token]
	latest := events.Later(at.UnixNano(), d.futureOf(token.Book))
	if b.RecordDate.UnixNano() > latest {
		return events.Problems{{Field: "record_date", Detail: beyond("it", b.RecordDate, latest)}}
	}
	return nil
}

func (d *Directory) closingAhead(b events.PeriodClosed, at time.Time) events.Problems {
	in := d.books[b.Book]
	if in == nil {
		return nil // closePeriod reports this.
	}
	from, until, err := events.Calendar(in.declared.Calendar).Parse(b.Period)
	switch {
	case err != nil: // closePeriod reports this.
	case from > events.Later(at.UnixNano(), in.declared.FutureSeconds):
		return events.Problems{{Field: "period", Detail: fmt.Sprintf("%s has not begun: it begins at %s", b.Period, stamp(from))}}
	case until > at.UnixNano() && !b.Early:
		return events.Problems{{Field: "period", Detail: fmt.Sprintf("%s has not ended: it ends at %s. To close it now, set early and give a reason", b.Period, stamp(until))}}
	}
	return nil
}

// beyond describes an observation that is later than the latest allowed
// instant.
func beyond(what string, t time.Time, latest int64) string {
	return fmt.Sprintf("%s is of %s, after %s: nothing can be observed before it happens", what, t.UTC().Format(time.RFC3339Nano), stamp(latest))
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

func (d *Directory) futureOf(name events.Book) int64 {
	if b := d.books[name]; b != nil {
		return b.declared.FutureSeconds
	}
	return defaultFuture
}

// tolerance returns the largest future_seconds of the books that charge in an asset.
func (d *Directory) tolerance(asset string) int64 {
	most := int64(-1)
	for _, b := range d.books { // map order: the maximum does not depend on it.
		if string(b.declared.Asset) == asset {
			most = max(most, b.declared.FutureSeconds)
		}
	}
	if most < 0 {
		return defaultFuture
	}
	return most
}

// Resting returns the distributions, ascending by id, that are declared for a
// period of a book or for a later one. They prevent the period from being
// reopened unless they are void, which only distribute knows.
func (d *Directory) Resting(name events.Book, period events.Period) []string {
	in := d.books[name]
	if in == nil {
		return nil
	}
	calendar := events.Calendar(in.declared.Calendar)
	_, until, err := calendar.Parse(period)
	if err != nil {
		return nil
	}
	var list []string
	for _, id := range slices.Sorted(maps.Keys(d.distributions)) {
		declared := d.distributions[id]
		if d.tokens[declared.Token].Book != name {
			continue
		}
		if _, end, err := calendar.Parse(declared.Period); err != nil || end >= until {
			list = append(list, id)
		}
	}
	return list
}

// reopenPeriod takes closings back, unless something rests on them. It believes
// the decision about which distributions are void; package check verifies that.
// A void distribution stays void, so the person who decides can know it.
func (d *Directory) reopenPeriod(b events.PeriodReopened) error {
	in, err := d.in(b.Book)
	if err != nil {
		return err
	}
	calendar := events.Calendar(in.declared.Calendar)
	from, until, err := calendar.Parse(b.Period)
	if err != nil {
		return err
	}
	if until > in.closedThrough {
		return fmt.Errorf("period %s of book %q is not closed", b.Period, b.Book)
	}
	for _, id := range d.Resting(b.Book, b.Period) {
		if !slices.Contains(b.Void, id) {
			return fmt.Errorf("distribution %q rests on the closing of %s: period %s of book %q cannot be reopened", id, d.distributions[id].Period, b.Period, b.Book)
		}
	}
	kept := in.closings[:0]
	for _, c := range in.closings {
		if c.until > from {
			delete(d.ids, c.id) // The same closing may be decided again.
		} else {
			kept = append(kept, c)
		}
	}
	in.closings = kept
	in.closedThrough, in.closed = from, ""
	if from > 0 {
		in.closed, _, _ = calendar.Bounds(from - 1)
	}
	return nil
}

// closing is a decision that closed periods.
type closing struct {
	id    string
	until int64
}

// reverseDeposit takes back a deposit that is recorded with the same fields.
// Settlement decides whether its money is still prepaid.
func (d *Directory) reverseDeposit(b events.DepositReversed) error {
	deposit := events.DepositRecorded{Book: b.Book, Customer: b.Customer, Asset: b.Asset, Amount: b.Amount, Reference: b.Reference}
	content, err := contentOf(deposit)
	if err != nil {
		return err
	}
	switch known, ok := d.ids[b.Deposit]; {
	case !ok || known.content != content:
		return fmt.Errorf("no deposit %q of %v %s by customer %q of book %q with reference %q is recorded", b.Deposit, b.Amount, b.Asset, b.Customer, b.Book, b.Reference)
	case d.reversed[b.Deposit]:
		return fmt.Errorf("a reversal of deposit %q was decided before", b.Deposit)
	}
	d.reversed[b.Deposit] = true
	return nil
}
