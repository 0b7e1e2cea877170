package distribute

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/payout"
)

// turn collects the changes that one decision makes to payouts of one
// distribution.
type turn struct {
	d        *Distributor
	made     *distribution.Distribution
	step     *distribution.Step
	postings []ledger.Posting
	owed     []owed
	at       map[owner]int // index into owed
}

type owner struct {
	asset  money.Asset
	holder events.Holder
}

type owed struct {
	asset       money.Asset
	entitlement distribution.Entitlement
}

// change moves one payout into a state, and its money with it.
func (t *turn) change(ctx context.Context, p distribution.Payout, to distribution.State, reference string) error {
	from := payout.Account(p.State, p.Holder, t.made.Rail)
	where := payout.Account(to, p.Holder, t.made.Rail)
	if from != where {
		t.post(from, where, p)
	}
	if from != where {
		if err := t.owe(ctx, p, from, p.Amount.Neg); err != nil {
			return err
		}
		if err := t.owe(ctx, p, where, p.Amount.Abs); err != nil {
			return err
		}
	}
	t.d.show.move(t.made.ID, p.State, to, 1)
	t.step.Changes = append(t.step.Changes, distribution.Change{Distribution: t.made.ID, Payout: p.ID, State: to, Reference: reference})
	return nil
}

// post adds one posting. Equal ones are summed later: see [together].
func (t *turn) post(debit, credit ledger.Account, p distribution.Payout) {
	t.postings = append(t.postings, ledger.Posting{Debit: debit, Credit: credit, Asset: p.Asset, Amount: p.Amount})
}

// owe changes what the token owes the holder of a payout by its amount, if the
// account is one of the holder's. If the holder was meanwhile paid a second
// time, the amount becomes negative, and the holder's next shares cover that
// first.
func (t *turn) owe(ctx context.Context, p distribution.Payout, account ledger.Account, change func() (money.Amount, error)) error {
	held := account == ledger.HolderHeld(p.Holder)
	if !held && account != ledger.HolderPayable(p.Holder) {
		return nil
	}
	at, ok := t.at[owner{p.Asset, p.Holder}]
	if !ok {
		e, err := t.d.config.Store.EntitlementOf(ctx, t.made.Token, p.Asset, p.Holder)
		if err != nil {
			return err
		}
		if t.at == nil {
			t.at = map[owner]int{}
		}
		at = len(t.owed)
		t.at[owner{p.Asset, p.Holder}] = at
		t.owed = append(t.owed, owed{p.Asset, e})
	}
	side := &t.owed[at].entitlement.Payable
	if held {
		side = &t.owed[at].entitlement.Held
	}
	amount, err := change()
	if err == nil {
		*side, err = side.Add(amount)
	}
	if err != nil {
		return fmt.Errorf("changing what %s is owed by the amount of payout %s: %w", p.Holder, p.ID, err)
	}
	return nil
}

// finish adds the journal records and the messages for PAYOUT to the step.
func (t *turn) finish(at uint64, batch string, results []events.PayoutOutcome) error {
	slices.SortFunc(t.owed, func(a, b owed) int {
		return cmp.Or(cmp.Compare(a.asset, b.asset), cmp.Compare(a.entitlement.Holder, b.entitlement.Holder))
	})
	for _, o := range t.owed {
		if n := len(t.step.Owed); n == 0 || t.step.Owed[n-1].Asset != o.asset {
			t.step.Owed = append(t.step.Owed, distribution.Owed{Token: t.made.Token, Asset: o.asset})
		}
		last := &t.step.Owed[len(t.step.Owed)-1]
		last.List = append(last.List, o.entitlement)
	}
	postings, err := together(t.postings)
	if err != nil {
		return err
	}
	if len(postings) > 0 {
		if err := record(t.step, t.made, at, []ledger.Entry{t.d.entry(t.made, ledger.Payout, postings)}); err != nil {
			return err
		}
	}
	slices.SortFunc(t.step.Changes, func(a, b distribution.Change) int { return strings.Compare(a.Payout, b.Payout) })
	for _, part := range changed(t.made, at, batch, results) {
		if err := say(t.step, t.made.Token, part); err != nil {
			return err
		}
	}
	return nil
}

// together sums the postings with equal accounts and asset, ordered by their
// first occurrence, so that a thousand confirmations are one posting.
func together(list []ledger.Posting) ([]ledger.Posting, error) {
	type key struct {
		debit, credit ledger.Account
		asset         money.Asset
	}
	at := map[key]int{}
	var sums []ledger.Posting
	for _, p := range list {
		k := key{p.Debit, p.Credit, p.Asset}
		i, ok := at[k]
		if !ok {
			at[k] = len(sums)
			sums = append(sums, p)
			continue
		}
		var err error
		if sums[i].Amount, err = sums[i].Amount.Add(p.Amount); err != nil {
			return nil, fmt.Errorf("summing postings from %s to %s: %w", p.Credit, p.Debit, err)
		}
	}
	return sums, nil
}

// entry is posted in the open period of the book; its origin is the period
// whose revenue it moves.
func (d *Distributor) entry(made *distribution.Distribution, kind ledger.EntryKind, postings []ledger.Posting) ledger.Entry {
	period := made.Period
	if book, ok := d.directory.Book(made.Book); ok {
		if open, ok := book.Open(); ok {
			period = open
		}
	}
	origin := made.Period
	if made.Run() {
		origin = period // the amounts owed come from many periods
	}
	return ledger.Entry{
		Book: made.Book, Kind: kind, Period: period, Origin: origin, Ref: made.Ref(), Postings: postings,
	}
}

// complete adds to a step that makes a distribution or a payout run its entries and
// payouts, and what PAYOUT is to say, in this order: what was made, the entries, the
// payouts ascending by id.
func (d *Distributor) complete(step *distribution.Step, at uint64, said events.Paid, entries []ledger.Entry, payouts []distribution.Payout) error {
	made := step.Made
	slices.SortFunc(payouts, func(a, b distribution.Payout) int { return strings.Compare(a.ID, b.ID) })
	step.Payouts = []distribution.Payouts{{Distribution: made.ID, List: payouts}}
	if err := say(step, made.Token, said); err != nil {
		return err
	}
	if err := record(step, made, at, entries); err != nil {
		return err
	}
	for _, part := range planned(made, at, payouts) {
		if err := say(step, made.Token, part); err != nil {
			return err
		}
	}
	d.show.move(made.ID, "", distribution.Planned, len(payouts))
	return nil
}

// record puts entries into the step's journal, in as many records as they need,
// and adds these records to the messages for PAYOUT.
func record(step *distribution.Step, made *distribution.Distribution, at uint64, entries []ledger.Entry) error {
	whole := ledger.Record{Cut: at, Control: at, Book: made.Book, Entries: entries}
	for _, part := range ledger.Split(whole, ledger.MaxRecord) {
		encoded, err := ledger.AppendRecord(nil, &part)
		if err != nil {
			return err
		}
		step.Messages = append(step.Messages, distribution.Message{Token: made.Token, Record: len(step.Records)})
		step.Records = append(step.Records, part)
		step.Encoded = append(step.Encoded, encoded)
	}
	return nil
}

// say adds a message to the messages for PAYOUT.
func say(step *distribution.Step, token events.Token, p events.Paid) error {
	data, err := events.AppendPaid(nil, p)
	if err != nil {
		return err
	}
	step.Messages = append(step.Messages, distribution.Message{Token: token, Data: data})
	return nil
}

// room is how many bytes of lines a message of PAYOUT may have; the rest is for
// its other members.
const room = events.MaxPaid * 7 / 8

// planned packs payouts into as many messages as they need.
func planned(made *distribution.Distribution, at uint64, list []distribution.Payout) []events.PayoutsPlanned {
	var parts []events.PayoutsPlanned
	size := room
	for _, p := range list {
		width := jsonWidth(p.ID) + jsonWidth(string(p.Holder)) + 110
		if size += width; size > room {
			parts = append(parts, events.PayoutsPlanned{Distribution: made.ID, Token: made.Token, Rail: made.Rail, Control: at})
			size = width
		}
		last := &parts[len(parts)-1]
		last.Payouts = append(last.Payouts, events.PlannedPayout{Payout: p.ID, Holder: p.Holder, Asset: p.Asset, Amount: p.Amount})
	}
	for i := range parts {
		parts[i].Part, parts[i].Parts = i, len(parts)
	}
	return parts
}

// changed packs states into as many messages as they need.
func changed(made *distribution.Distribution, at uint64, batch string, list []events.PayoutOutcome) []events.PayoutsChanged {
	var parts []events.PayoutsChanged
	size := room
	for _, r := range list {
		width := jsonWidth(r.Payout) + jsonWidth(r.Reference) + 60
		if size += width; size > room {
			parts = append(parts, events.PayoutsChanged{Control: at, Batch: batch, Rail: made.Rail})
			size = width
		}
		last := &parts[len(parts)-1]
		last.Changes = append(last.Changes, r)
	}
	for i := range parts {
		parts[i].Part, parts[i].Parts = i, len(parts)
	}
	return parts
}

// jsonWidth returns an upper bound of the bytes that a text needs in JSON.
func jsonWidth(s string) int {
	width := len(s) + 2
	for i := range len(s) {
		if strings.IndexByte(`"\<>&`, s[i]) >= 0 {
			width += 5
		}
	}
	return width
}
