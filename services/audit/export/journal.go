package export

import (
	"encoding/binary"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func journalColumns() []Column {
	return []Column{
		{"row", Text, false}, // <writer>-<number>
		{"entry", Count, false},
		{"posting", Count, false},
		{"book", Text, false},
		{"kind", Text, false},
		{"period", Text, true},
		{"origin", Text, true},
		{"ref", Text, true},
		{"debit", Text, false},
		{"credit", Text, false},
		{"asset", Text, false},
		{"amount", Decimal, false},
		{"card", Text, true},
		{"quote", Text, true},
		{"meter", Text, true},
		{"quantity", Decimal, true},
		{"events", Count, true},
		{"cut", Count, false},     // position in USAGE; for distribute in CONTROL
		{"control", Count, false}, // CONTROL was in effect up to here
		{"recorded", Instant, false},
	}
}

// journal lists every posting, in the order of the streams.
func (r *run) journal() error {
	return r.entries(func(m *message, row string, record *ledger.Record) error {
		for i := range record.Entries {
			e := &record.Entries[i]
			if !r.wanted(e.Book, e.Period) {
				continue
			}
			for j := range e.Postings {
				p := &e.Postings[j]
				billed, events := cell{}, cell{}
				if p.Meter != "" {
					billed, events = quantity(p.Quantity), count(p.Events)
				}
				err := r.emit(m.of, m.Seq, text(row), count(i), count(j), text(e.Book), text(e.Kind), named(e.Period), named(e.Origin), named(e.Ref),
					text(p.Debit), text(p.Credit), text(p.Asset), amount(p.Amount), named(p.Card), named(p.Quote), named(p.Meter), billed, events,
					count(record.Cut), count(record.Control), moment(m.Time))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func balanceColumns() []Column {
	return []Column{
		{"account", Text, false},
		{"kind", Text, true}, // customer, node, provider, platform, token, holder, treasury, rail
		{"id", Text, true},
		{"part", Text, true}, // such as receivable
		{"asset", Text, false},
		{"debit", Decimal, false},
		{"credit", Decimal, false},
		{"balance", Decimal, false}, // debit less credit
		{"postings", Count, false},
		{"ledger_position", Count, false}, // the last record of LEDGER that was counted
		{"payout_position", Count, false},
	}
}

// sum is what was posted to one account in one asset.
type sum struct {
	ledger.Balance
	postings uint64
	of       *source // stream of the last record that posted to it
	position uint64
}

func (s *sum) add(o *sum) (err error) {
	if s.Debit, err = s.Debit.Add(o.Debit); err != nil {
		return err
	}
	s.Credit, err = s.Credit.Add(o.Credit)
	s.postings += o.postings
	s.of, s.position = o.of, o.position
	return err
}

// placesHeld is how many accounts are summed in memory before they are passed to
// the sorter.
const placesHeld = 1 << 16

// balances is the trial balance: the fold of the journal up to the cut.
func (r *run) balances() error {
	places := &balanceSums{run: r, held: map[ledger.Place]*sum{}}
	defer places.sorter.close()
	var last [2]uint64
	err := r.entries(func(m *message, _ string, record *ledger.Record) error {
		if m.of == r.ledger {
			last[0] = m.Seq
		} else {
			last[1] = m.Seq
		}
		for i := range record.Entries {
			if !r.wanted(record.Entries[i].Book, "") && r.Book != "" {
				continue
			}
			for j := range record.Entries[i].Postings {
				p := &record.Entries[i].Postings[j]
				debit := sum{Balance: ledger.Balance{Debit: p.Amount}, postings: 1, of: m.of, position: m.Seq}
				credit := sum{Balance: ledger.Balance{Credit: p.Amount}, postings: 1, of: m.of, position: m.Seq}
				if err := places.add(ledger.Place{Account: p.Debit, Asset: p.Asset}, &debit); err != nil {
					return err
				}
				if err := places.add(ledger.Place{Account: p.Credit, Asset: p.Asset}, &credit); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return places.each(func(place ledger.Place, s *sum) error {
		kind, id, part := place.Account.Split()
		return r.emit(s.of, s.position, text(place.Account), named(kind), named(id), named(part), text(place.Asset),
			amount(s.Debit), amount(s.Credit), amount(s.Net()), count(s.postings), count(last[0]), count(last[1]))
	})
}

// balanceSums sums frequent accounts in memory, and on disk those that do not
// fit.
type balanceSums struct {
	run    *run
	held   map[ledger.Place]*sum
	sorter sorter
}

func (b *balanceSums) add(place ledger.Place, s *sum) error {
	known := b.held[place]
	if known == nil {
		known = &sum{}
		b.held[place] = known
	}
	if err := known.add(s); err != nil {
		return fmt.Errorf("summing %s in %s: %w", place.Account, place.Asset, err)
	}
	if len(b.held) < placesHeld {
		return nil
	}
	return b.spill()
}

// spill passes every sum to the sorter. The key is the account, a zero byte,
// which no account contains, and the asset.
func (b *balanceSums) spill() error {
	for place, s := range b.held {
		key := append(append([]byte(place.Account), 0), place.Asset...)
		value := make([]byte, 0, 64)
		for _, a := range []money.Amount{s.Debit, s.Credit} {
			high, low := a.Limbs()
			value = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(value, uint64(high)), low)
		}
		value = binary.AppendUvarint(value, s.postings)
		value = binary.AppendUvarint(value, s.position)
		if s.of == b.run.payout {
			value = append(value, 1)
		}
		if err := b.sorter.add(key, value); err != nil {
			return err
		}
	}
	clear(b.held)
	return nil
}

func (b *balanceSums) decode(value []byte) *sum {
	s := &sum{of: b.run.ledger}
	for i, a := range []*money.Amount{&s.Debit, &s.Credit} {
		*a = money.AmountFromLimbs(int64(binary.BigEndian.Uint64(value[16*i:])), binary.BigEndian.Uint64(value[16*i+8:]))
	}
	value = value[32:]
	n := 0
	s.postings, n = binary.Uvarint(value)
	value = value[n:]
	s.position, n = binary.Uvarint(value)
	if len(value) > n {
		s.of = b.run.payout
	}
	return s
}

// each calls f for every place, ascending.
func (b *balanceSums) each(f func(ledger.Place, *sum) error) error {
	if err := b.spill(); err != nil {
		return err
	}
	var place ledger.Place
	var total *sum
	flush := func() error {
		if total == nil {
			return nil
		}
		return f(place, total)
	}
	err := b.sorter.each(func(key, value []byte) error {
		next := placeOf(key)
		if total == nil || next != place {
			if err := flush(); err != nil {
				return err
			}
			place, total = next, &sum{}
		}
		return total.add(b.decode(value))
	})
	if err != nil {
		return err
	}
	return flush()
}

func placeOf(key []byte) ledger.Place {
	for i, c := range key {
		if c == 0 {
			return ledger.Place{Account: ledger.Account(key[:i]), Asset: money.Asset(key[i+1:])}
		}
	}
	return ledger.Place{}
}
