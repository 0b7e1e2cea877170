package ledger

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Journal sums entries into the lines that journal_hash covers. Its memory
// grows with the number of distinct lines (customers × nodes × periods ×
// quotes), not with the number of entries. The zero value is not usable: see
// [NewJournal].
type Journal struct {
	sums map[Line]*money.Amount // pointers, so that a known line is looked up only once
}

// Line is one line of the summed journal. It contains no position, batch or
// time, so that equal input gives equal lines, wherever the cuts were.
type Line struct {
	Book   events.Book
	Period events.Period
	Origin events.Period
	Debit  Account
	Credit Account
	Asset  money.Asset
	Card   string
	Quote  string
}

// NewJournal returns an empty journal.
func NewJournal() *Journal { return &Journal{sums: map[Line]*money.Amount{}} }

// Add adds the entries of a record of any writer. It fails if a sum does not
// fit 128 bits, or if a field has a control character, because then two
// different journals could have the same text. After an error the journal must
// not be used.
func (j *Journal) Add(r *Record) error {
	for i := range r.Entries {
		e := &r.Entries[i]
		for k := range e.Postings {
			p := &e.Postings[k]
			line := Line{e.Book, e.Period, e.Origin, p.Debit, p.Credit, p.Asset, p.Card, p.Quote}
			sum := j.sums[line]
			if sum == nil {
				if err := line.check(); err != nil {
					return fmt.Errorf("summing the journal at cut %d: %w", r.Cut, err)
				}
				sum = new(money.Amount)
				j.sums[line] = sum
			}
			var err error
			if *sum, err = sum.Add(p.Amount); err != nil {
				return fmt.Errorf("summing the journal at cut %d: %s to %s: %w", r.Cut, p.Credit, p.Debit, err)
			}
		}
	}
	return nil
}

func (l *Line) fields() [8]string {
	return [8]string{string(l.Book), string(l.Period), string(l.Origin), string(l.Debit), string(l.Credit), string(l.Asset), l.Card, l.Quote}
}

func (l *Line) check() error {
	for _, field := range l.fields() {
		for i := range len(field) {
			if field[i] < ' ' {
				return fmt.Errorf("field %q has a control character", field)
			}
		}
	}
	return nil
}

// compare orders lines by their fields, byte for byte, the first field first.
func (l *Line) compare(m *Line) int {
	// The first fields of two lines of a journal are usually equal, and
	// comparing texts for equality is faster than finding their order.
	switch {
	case l.Book != m.Book:
		return strings.Compare(string(l.Book), string(m.Book))
	case l.Period != m.Period:
		return strings.Compare(string(l.Period), string(m.Period))
	case l.Origin != m.Origin:
		return strings.Compare(string(l.Origin), string(m.Origin))
	case l.Debit != m.Debit:
		return strings.Compare(string(l.Debit), string(m.Debit))
	case l.Credit != m.Credit:
		return strings.Compare(string(l.Credit), string(m.Credit))
	case l.Asset != m.Asset:
		return strings.Compare(string(l.Asset), string(m.Asset))
	case l.Card != m.Card:
		return strings.Compare(l.Card, m.Card)
	}
	return strings.Compare(l.Quote, m.Quote)
}

// Lines yields the lines and their sums, ascending.
func (j *Journal) Lines() iter.Seq2[Line, money.Amount] {
	type summed struct {
		line Line
		sum  money.Amount
	}
	list := make([]summed, 0, len(j.sums))
	// map order: sorted below.
	for l, sum := range j.sums {
		list = append(list, summed{l, *sum})
	}
	order := make([]int32, len(list)) // indexes are sorted instead of the lines, which are ten times as wide
	for i := range order {
		order[i] = int32(i) //nolint:gosec // 2³¹ lines do not fit in memory
	}
	slices.SortFunc(order, func(a, b int32) int { return list[a].line.compare(&list[b].line) })
	return func(yield func(Line, money.Amount) bool) {
		for _, i := range order {
			if !yield(list[i].line, list[i].sum) {
				return
			}
		}
	}
}

// AppendLine appends the text of a line to dst: its fields in the order of
// [Line] and then the amount as a decimal, with a tab between two and a line
// feed at the end.
func AppendLine(dst []byte, l Line, sum money.Amount) []byte {
	for _, field := range l.fields() {
		dst = append(dst, field...)
		dst = append(dst, '\t')
	}
	dst = append(dst, sum.String()...)
	return append(dst, '\n')
}

// Hash returns journal_hash: the SHA-256 of the text of all lines, ascending,
// as [AppendLine] writes it and with nothing before, between or after them. So
// an auditor can compute it from an export with
//
//	LC_ALL=C sort journal.tsv | sha256sum
//
// because no field has a character below the space, so that sorting the text
// sorts the lines. The hash of an empty journal is the hash of no bytes.
func (j *Journal) Hash() [32]byte {
	h := sha256.New()
	var text []byte
	for l, sum := range j.Lines() {
		text = AppendLine(text[:0], l, sum)
		h.Write(text)
	}
	return [32]byte(h.Sum(nil))
}
