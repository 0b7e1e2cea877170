package cockroach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Ids of writers. They are constants or follow from the partition, so that
// partitions need not coordinate.
const distributor = 4097

func settlerID(partition int) int64 { return int64(partition) + 1 }

// register registers a writer.
func register(t store.Tx, id int64, name string) error {
	_, err := t.Exec("INSERT INTO writer (id, name, relayed, published) VALUES (?1, ?2, 0, 0) ON CONFLICT (id) DO NOTHING", id, name)
	return err
}

// newest returns the number of a writer's newest row.
func newest(ctx context.Context, tx pgx.Tx, writer int64) (number int64, err error) {
	first := writer << store.NumberBits
	err = tx.QueryRow(ctx, "SELECT coalesce(max(id), $1) - $1 FROM journal WHERE id BETWEEN $1 AND $2", first, first+1<<store.NumberBits-1).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("looking for the end of the journal: %w", err)
	}
	return number, nil
}

// journal is the rows to append for one writer, and the amounts that they add
// to its balances.
type journal struct {
	writer  int64
	cuts    []int64
	books   []string
	parts   []int64
	records [][]byte
	posted  map[place]*sides
}

// longestName is more bytes than a book's name may have.
const longestName = 256

type place struct {
	account ledger.Account
	asset   money.Asset
}

type sides struct{ debit, credit money.Amount }

func newJournal(writer int64) *journal { return &journal{writer: writer, posted: map[place]*sides{}} }

// add adds a record with its bytes. A balance that overflows is an error.
func (j *journal) add(r *ledger.Record, encoded []byte) error {
	j.cuts = append(j.cuts, int64(r.Cut))
	j.books = append(j.books, string(r.Book))
	j.parts = append(j.parts, int64(r.Part))
	j.records = append(j.records, encoded)
	for e := range r.Entries {
		for i := range r.Entries[e].Postings {
			p := &r.Entries[e].Postings[i]
			var err error
			if d := j.at(p.Debit, p.Asset); true {
				if d.debit, err = d.debit.Add(p.Amount); err != nil {
					return fmt.Errorf("adding up %s: %w", p.Debit, err)
				}
			}
			if c := j.at(p.Credit, p.Asset); true {
				if c.credit, err = c.credit.Add(p.Amount); err != nil {
					return fmt.Errorf("adding up %s: %w", p.Credit, err)
				}
			}
		}
	}
	return nil
}

func (j *journal) at(account ledger.Account, asset money.Asset) *sides {
	s, ok := j.posted[place{account, asset}]
	if !ok {
		s = new(sides)
		j.posted[place{account, asset}] = s
	}
	return s
}

// write appends the rows after row number last. It updates balances in the
// order of their key, so that two transactions cannot wait for each other.
func (j *journal) write(s *script, last int64) {
	ids := make([]int64, len(j.records))
	for i := range ids {
		ids[i] = j.writer<<store.NumberBits + last + int64(i) + 1
	}
	chunks(j.records, func(record *[]byte) int { return len(*record) + longestName }, func(from, to int) {
		s.add("appending to the journal", `INSERT INTO journal (id, cut, book, part, record)
			SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[], $4::int8[], $5::bytea[])`,
			ids[from:to], j.cuts[from:to], j.books[from:to], j.parts[from:to], j.records[from:to])
	})
	places := make([]place, 0, len(j.posted))
	for p := range j.posted {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := strings.Compare(string(a.account), string(b.account)); c != 0 {
			return c
		}
		return strings.Compare(string(a.asset), string(b.asset))
	})
	chunks(places, func(p *place) int { return len(p.account) + len(p.asset) }, func(from, to int) {
		part := places[from:to]
		s.add("adding to balances", `INSERT INTO balance (writer, account, asset, debit, credit)
			SELECT $1, account, asset, debit::numeric, credit::numeric FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS u (account, asset, debit, credit)
			ON CONFLICT (writer, account, asset) DO UPDATE SET debit = balance.debit + excluded.debit, credit = balance.credit + excluded.credit`,
			j.writer,
			column(part, func(p *place) string { return string(p.account) }), column(part, func(p *place) string { return string(p.asset) }),
			column(part, func(p *place) string { return j.posted[*p].debit.String() }), column(part, func(p *place) string { return j.posted[*p].credit.String() }))
	})
}
