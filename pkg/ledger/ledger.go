// Package ledger is double-entry bookkeeping without input or output: accounts,
// postings, entries, their bytes, and the invariants that must hold over them.
//
// Every [Posting] moves one amount of one asset from the credited account to
// the debited one, so an entry is balanced by construction. Entries are
// immutable; a correction is another entry that moves the amount back.
//
// # Invariants
//
//   - Per asset, the debits of all accounts equal their credits.
//   - A posting's amount is above zero and its two accounts differ.
//   - Each account has one writer.
package ledger

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Account is the name of an account: kind:<id>:part, such as
// "customer:acme:receivable"; the kind ends at the first colon and the part
// begins at the last one, so the id may contain colons.
type Account string

// Posting moves Amount of Asset: Debit grows by it on its debit side, Credit on
// its credit side. The fields below Amount say what the posting is for; they
// are part of the journal and, as [Line] defines, of journal_hash.
type Posting struct {
	Debit  Account
	Credit Account
	Asset  money.Asset
	Amount money.Amount

	// For charges only: what was priced, and by which card version and quote.
	Card     string // "card@version"
	Quote    string // id of the quote as defined by package quotes; empty if no quote was needed
	Meter    events.Meter
	Quantity money.Quantity // billed, after granularity
	Events   uint64
}

// Entry is one journal entry: what one cut or one decision did to a book.
type Entry struct {
	Book     events.Book
	Kind     EntryKind
	Period   events.Period // the open period in which it is posted
	Origin   events.Period // for late usage: the period to which it belongs; otherwise equal to Period
	Ref      string        // what caused it: "control:17", "distribution:d1"; empty for usage
	Postings []Posting
}
