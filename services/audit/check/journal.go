package check

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// books is the result of one pass over the journal and the balances.
type books struct {
	snapshot *store.Snapshot

	broken  string // fault of the first faulty row of the journal
	unequal string // first balance that differs from the fold of the journal
	total   *ledger.Balances
	sorted  []held // of total

	charged   sums[money.Asset] // by usage and releases
	owed      sums[debt]        // charged less collected
	handed    sums[place]       // to inboxes, by settle
	kept      sums[earning]     // collected less handed over
	collected sums[money.Asset]
	billed    map[nodePeriod]uint64 // events in postings
}

// held is the balance of one account.
type held struct {
	ledger.Place
	ledger.Balance
}

type nodePeriod struct {
	book   events.Book
	node   string
	period events.Period
}

func (n nodePeriod) String() string {
	return fmt.Sprintf("book %s, node %q, period %s", n.book, n.node, n.period)
}

// read folds the journal, writer by writer.
func (b *books) read() error {
	b.total = ledger.NewBalances()
	b.charged, b.owed, b.handed, b.kept, b.collected = sums[money.Asset]{}, sums[debt]{}, sums[place]{}, sums[earning]{}, sums[money.Asset]{}
	b.billed = map[nodePeriod]uint64{}
	writers, err := b.snapshot.Writers()
	if err != nil {
		return err
	}
	for _, w := range writers {
		fold := ledger.NewBalances()
		if err := b.readWriter(w, fold); err != nil {
			return err
		}
		if err := b.balances(w, fold); err != nil {
			return err
		}
	}
	for at, balance := range b.total.All() {
		b.sorted = append(b.sorted, held{at, balance})
	}
	return nil
}

// walk is the state of the pass over one writer's rows.
type walk struct {
	number   uint64
	last     ledger.Record // without its entries
	customer string        // the customer of the collection that is being read
}

func (b *books) readWriter(w store.WriterState, fold *ledger.Balances) error {
	at := &walk{}
	err := b.snapshot.Journal(w, 0, func(row store.Written) error {
		r, err := ledger.DecodeRecord(row.Record)
		if err != nil {
			b.breaks("%s row %d: %v", w.Name, row.Number, err)
			at.number = row.Number
			return nil
		}
		b.follows(w, at, row, &r)
		if err := fold.AddRecord(&r); err != nil {
			b.breaks("%s row %d: %v", w.Name, row.Number, err)
		}
		for i := range r.Entries {
			if err := b.entry(at, &r.Entries[i]); err != nil {
				return err
			}
		}
		at.number = row.Number
		at.last = r
		at.last.Entries = nil
		return nil
	})
	if err != nil {
		return err
	}
	if at.last.Part+1 < at.last.Parts {
		b.breaks("%s row %d: it is part %d of %d, and the next part is missing", w.Name, at.number, at.last.Part+1, at.last.Parts)
	}
	return nil
}

func (b *books) breaks(format string, args ...any) {
	if b.broken == "" {
		b.broken = fmt.Sprintf(format, args...)
	}
}

// follows checks that a row is the next one, and that it agrees with its columns.
func (b *books) follows(w store.WriterState, at *walk, row store.Written, r *ledger.Record) {
	if row.Number != at.number+1 {
		b.breaks("%s: row %d follows row %d", w.Name, row.Number, at.number)
	}
	if r.Cut != row.Cut || r.Book != row.Book || r.Part != row.Part {
		b.breaks("%s row %d: its columns say cut %d, book %s, part %d, but its record says cut %d, book %s, part %d",
			w.Name, row.Number, row.Cut, row.Book, row.Part, r.Cut, r.Book, r.Part)
	}
	if r.Cut < at.last.Cut {
		b.breaks("%s row %d: cut %d follows cut %d", w.Name, row.Number, r.Cut, at.last.Cut)
	}
	continues := r.Part > 0
	complete := at.last.Part+1 >= at.last.Parts
	switch {
	case continues && (r.Cut != at.last.Cut || r.Book != at.last.Book || r.Part != at.last.Part+1 || r.Parts != at.last.Parts):
		b.breaks("%s row %d: part %d of %d of cut %d does not follow part %d of %d of cut %d",
			w.Name, row.Number, r.Part+1, r.Parts, r.Cut, at.last.Part+1, at.last.Parts, at.last.Cut)
	case !continues && !complete:
		b.breaks("%s row %d: cut %d ends at part %d of %d", w.Name, row.Number, at.last.Cut, at.last.Part+1, at.last.Parts)
	}
	for i := range r.Entries {
		if r.Entries[i].Book != r.Book {
			b.breaks("%s row %d: an entry of book %s in a record of book %s", w.Name, row.Number, r.Entries[i].Book, r.Book)
		}
	}
}

// entry adds an entry to the sums that other checks compare.
func (b *books) entry(at *walk, e *ledger.Entry) error {
	for i := range e.Postings {
		p := &e.Postings[i]
		var err error
		switch e.Kind {
		case ledger.Usage, ledger.Release:
			err = b.charge(e, p)
		case ledger.Collection:
			err = b.collection(at, e, p)
		case ledger.Handover:
			err = b.handover(e, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *books) charge(e *ledger.Entry, p *ledger.Posting) error {
	_, customer, owes := p.Debit.Split()
	_, node, earns := p.Credit.Split()
	if owes != ledger.Receivable || earns != ledger.Earned {
		b.breaks("an entry of %s posts from %s to %s, not from what a node earned to what a customer owes", e.Kind, p.Credit, p.Debit)
		return nil
	}
	b.billed[nodePeriod{e.Book, node, e.Origin}] += p.Events
	if err := b.charged.add(p.Asset, p.Amount); err != nil {
		return err
	}
	return b.owed.add(debt{string(e.Book), customer, node, e.Origin, p.Asset}, p.Amount)
}

// handover subtracts what is handed over from what is collected. No closing hands
// over revenue of a later period.
func (b *books) handover(e *ledger.Entry, p *ledger.Posting) error {
	if e.Origin > e.Period {
		b.breaks("book %s: the closing of %s hands over %v %s of %s, a later period", e.Book, e.Period, p.Amount, p.Asset, e.Origin)
	}
	_, node, part := p.Debit.Split()
	if part != ledger.Collected {
		b.breaks("an entry of handover posts from %s to %s, not from what a node collected", p.Debit, p.Credit)
		return nil
	}
	k := earning{string(e.Book), node, e.Origin, p.Asset}
	if err := b.kept.sub(k, p.Amount); err != nil {
		return err
	}
	if b.kept[k].IsZero() {
		delete(b.kept, k)
	}
	if !p.Credit.Is(ledger.OfToken, ledger.Inbox) {
		return nil
	}
	return b.handed.add(place{p.Credit, p.Asset}, p.Amount)
}

// collection subtracts what is collected from what is owed. An entry begins with
// its customer's posting; its parts follow each other.
func (b *books) collection(at *walk, e *ledger.Entry, p *ledger.Posting) error {
	if p.Debit.Is(ledger.OfCustomer, ledger.Prepaid) {
		_, at.customer, _ = p.Debit.Split()
		return nil
	}
	if !p.Credit.Is(ledger.OfNode, ledger.Collected) {
		return nil
	}
	_, node, _ := p.Credit.Split()
	if err := b.collected.add(p.Asset, p.Amount); err != nil {
		return err
	}
	if err := b.kept.add(earning{string(e.Book), node, e.Origin, p.Asset}, p.Amount); err != nil {
		return err
	}
	k := debt{string(e.Book), at.customer, node, e.Origin, p.Asset}
	if err := b.owed.sub(k, p.Amount); err != nil {
		return err
	}
	if b.owed[k].IsZero() {
		delete(b.owed, k) // debts that are paid are dropped to save memory
	}
	return nil
}

// balances compares a writer's balances with the fold of its rows.
func (b *books) balances(w store.WriterState, fold *ledger.Balances) error {
	same, equal := 0, true
	err := b.snapshot.BalanceRows(w, func(row store.Balance) error {
		at, balance := ledger.Place{Account: row.Account, Asset: row.Asset}, ledger.Balance{Debit: row.Debit, Credit: row.Credit}
		if fold.Of(at.Account, at.Asset) != balance {
			equal = false
		}
		same++
		if balance.Debit.Sign() < 0 || balance.Credit.Sign() < 0 {
			return nil // reported below
		}
		return b.total.AddRow(at, balance)
	})
	if err != nil {
		return err
	}
	if equal && same == fold.Len() {
		return nil
	}
	return b.unequalBalance(w, fold)
}

// unequalBalance finds the first balance that differs from the fold.
func (b *books) unequalBalance(w store.WriterState, fold *ledger.Balances) error {
	stored := ledger.NewBalances()
	err := b.snapshot.BalanceRows(w, func(row store.Balance) error {
		at, balance := ledger.Place{Account: row.Account, Asset: row.Asset}, ledger.Balance{Debit: row.Debit, Credit: row.Credit}
		if err := stored.AddRow(at, balance); err != nil {
			b.breaks("%s: %v", w.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if at, equal := stored.Difference(fold); !equal && b.unequal == "" {
		here, there := stored.Of(at.Account, at.Asset), fold.Of(at.Account, at.Asset)
		b.unequal = fmt.Sprintf("%s in %s by %s: the balance is debit %v, credit %v, but the journal sums to debit %v, credit %v",
			at.Account, at.Asset, w.Name, here.Debit, here.Credit, there.Debit, there.Credit)
	}
	return nil
}

// journalComplete: the rows of every writer are there, one after the other and
// whole.
func (b *books) journalComplete() (string, error) { return b.broken, nil }

// balancesEqualJournal: every balance is the sum of its writer's postings.
func (b *books) balancesEqualJournal() (string, error) { return b.unequal, nil }

// debitsEqualCredits: per asset, over all accounts.
func (b *books) debitsEqualCredits() (string, error) {
	if err := b.total.CheckBalanced(); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// oneWriter: settle and distribute both post only to a token's inbox, and several
// partitions post only to accounts outside the books.
func (b *books) oneWriter() (string, error) {
	shared, err := b.snapshot.SharedAccounts()
	if err != nil {
		return "", err
	}
	for _, a := range shared {
		switch kind, _, part := a.Split(); {
		case part == ledger.Inbox, kind == ledger.OfTreasury, kind == ledger.OfProvider:
		default:
			return fmt.Sprintf("%s has more than one writer", a), nil
		}
	}
	return "", nil
}

// noNegativeBalances: no account is overdrawn, and nothing stays in a pool.
// What is payable to a holder may be below zero: a payment that was given up
// and paid again has arrived after all, and the next shares cover it (decision
// 0021). The checks payouts_equal_accounts and
// shares_equal_payouts_payable_and_held verify that amount against the payouts.
func (b *books) noNegativeBalances() (string, error) {
	for _, at := range b.sorted {
		left, err := net(at.Place, at.Balance)
		if err != nil {
			return "", err
		}
		if left.Sign() < 0 && !at.Account.Is(ledger.OfHolder, ledger.Payable) {
			return fmt.Sprintf("%s in %s is %v, below zero", at.Account, at.Asset, left), nil
		}
		if at.Account.Is(ledger.OfToken, ledger.Pool) && !left.IsZero() {
			return fmt.Sprintf("%s in %s is %v: a pool is divided whole", at.Account, at.Asset, left), nil
		}
	}
	return "", nil
}
