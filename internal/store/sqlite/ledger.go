package sqlite

import (
	"fmt"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// cached bounds each of the two caches below, in entries of about 150 bytes.
const cached = 1 << 17

// entry is one journal row to append.
type entry struct {
	Cut    uint64 // position of the cut
	Book   events.Book
	Part   int
	Record []byte         // the encoded record
	Posts  []ledger.Entry // the same record's entries, for the balances
}

// writer appends journal rows under one name. The balances that the store keeps
// for it are the fold of its own rows only.
type writer struct {
	db *engine
	id int64

	// Guarded by db.mu.
	last     uint64 // number of the newest row; 0 and !known: not read yet
	known    bool
	balances map[balanceKey]sides
}

type balanceKey struct {
	account int64
	asset   money.Asset
}

type sides struct{ debit, credit money.Amount }

type accounts struct {
	id   map[ledger.Account]int64
	next int64 // 0: not read yet
}

func newAccounts() accounts { return accounts{id: make(map[ledger.Account]int64)} }

// writer returns the writer with that name, and registers it the first time. It
// must be called within write.
func (db *engine) writer(conn *sqlite.Conn, name string) (*writer, error) {
	w := &writer{db: db, balances: make(map[balanceKey]sides)}
	err := query(conn, "INSERT INTO writer (name) VALUES (?) ON CONFLICT DO NOTHING", nil, name)
	if err == nil {
		err = query(conn, "SELECT id FROM writer WHERE name = ?", func(s *sqlite.Stmt) error {
			w.id = s.ColumnInt64(0)
			return nil
		}, name)
	}
	if err != nil {
		return nil, fmt.Errorf("registering writer %s: %w", name, err)
	}
	db.writers = append(db.writers, w)
	return w, nil
}

func (w *writer) forget() {
	w.known = false
	clear(w.balances)
}

// append writes the rows in their order, adds their postings to the balances,
// and returns the number of this writer's last row. It must be called within
// write. A balance that overflows is an error; nothing wraps.
func (w *writer) append(conn *sqlite.Conn, rows []entry) (last uint64, err error) {
	if !w.known {
		if w.last, err = w.newest(conn); err != nil {
			return 0, err
		}
		w.known = true
	}
	insert, err := conn.Prepare("INSERT INTO journal (id, cut, book, part, record) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return 0, err
	}
	deltas := make(map[postedKey]sides)
	for i := range rows {
		r := &rows[i]
		w.last++
		insert.BindInt64(1, w.id<<store.NumberBits|int64(w.last))
		insert.BindInt64(2, int64(r.Cut))
		insert.BindText(3, string(r.Book))
		insert.BindInt64(4, int64(r.Part))
		insert.BindBytes(5, r.Record)
		if err := run(insert); err != nil {
			return 0, fmt.Errorf("appending to the journal: %w", err)
		}
		for e := range r.Posts {
			for p := range r.Posts[e].Postings {
				if err := fold(deltas, &r.Posts[e].Postings[p]); err != nil {
					return 0, err
				}
			}
		}
	}
	return w.last, w.add(conn, deltas)
}

type postedKey struct {
	account ledger.Account
	asset   money.Asset
}

func fold(into map[postedKey]sides, p *ledger.Posting) error {
	d := into[postedKey{p.Debit, p.Asset}]
	var err error
	if d.debit, err = d.debit.Add(p.Amount); err != nil {
		return fmt.Errorf("adding up %s: %w", p.Debit, err)
	}
	into[postedKey{p.Debit, p.Asset}] = d
	c := into[postedKey{p.Credit, p.Asset}]
	if c.credit, err = c.credit.Add(p.Amount); err != nil {
		return fmt.Errorf("adding up %s: %w", p.Credit, err)
	}
	into[postedKey{p.Credit, p.Asset}] = c
	return nil
}

// add adds to the balances in the order of the primary key, which is several
// times faster than in random order.
func (w *writer) add(conn *sqlite.Conn, deltas map[postedKey]sides) error {
	type change struct {
		key   balanceKey
		sides sides
	}
	names := make([]postedKey, 0, len(deltas))
	for k := range deltas {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b postedKey) int {
		if c := strings.Compare(string(a.account), string(b.account)); c != 0 {
			return c
		}
		return strings.Compare(string(a.asset), string(b.asset))
	})
	fresh, err := w.db.nextAccount(conn) // accounts from here on have no balance yet
	if err != nil {
		return err
	}
	changes := make([]change, 0, len(names))
	for _, n := range names {
		id, err := w.db.account(conn, n.account)
		if err != nil {
			return err
		}
		changes = append(changes, change{balanceKey{id, n.asset}, deltas[n]})
	}
	slices.SortFunc(changes, func(a, b change) int {
		if a.key.account != b.key.account {
			return int(a.key.account - b.key.account)
		}
		return strings.Compare(string(a.key.asset), string(b.key.asset))
	})
	if len(w.balances)+len(changes) > cached {
		clear(w.balances)
	}
	for i := range changes {
		c := &changes[i]
		old, ok := w.balances[c.key]
		if !ok && c.key.account < fresh {
			if old, err = w.balance(conn, c.key); err != nil {
				return err
			}
		}
		if c.sides.debit, err = old.debit.Add(c.sides.debit); err != nil {
			return fmt.Errorf("adding to the balance of account %d: %w", c.key.account, err)
		}
		if c.sides.credit, err = old.credit.Add(c.sides.credit); err != nil {
			return fmt.Errorf("adding to the balance of account %d: %w", c.key.account, err)
		}
		if ok || len(w.balances) < cached {
			w.balances[c.key] = c.sides
		}
	}
	const replace = " ON CONFLICT DO UPDATE SET debit = excluded.debit, credit = excluded.credit"
	err = insertRows(conn, "balance (writer, account, asset, debit, credit)", 5, replace, len(changes), func(put *sqlite.Stmt, at, i int) {
		c := &changes[i]
		debit, credit := c.sides.debit.Bytes(), c.sides.credit.Bytes()
		put.BindInt64(at+1, w.id)
		put.BindInt64(at+2, c.key.account)
		put.BindText(at+3, string(c.key.asset))
		put.BindBytes(at+4, debit[:])
		put.BindBytes(at+5, credit[:])
	})
	if err != nil {
		return fmt.Errorf("writing balances: %w", err)
	}
	return nil
}

func (w *writer) balance(conn *sqlite.Conn, k balanceKey) (found sides, err error) {
	s, err := conn.Prepare("SELECT debit, credit FROM balance WHERE writer = ? AND account = ? AND asset = ?")
	if err != nil {
		return found, err
	}
	s.BindInt64(1, w.id)
	s.BindInt64(2, k.account)
	s.BindText(3, string(k.asset))
	row, err := s.Step()
	if err != nil {
		return found, fmt.Errorf("reading a balance: %w", err)
	}
	if row {
		found = sides{amount(s, 0), amount(s, 1)}
	}
	return found, s.Reset()
}

// amount reads a column of 16 bytes.
func amount(s *sqlite.Stmt, column int) money.Amount {
	var b [16]byte
	s.ColumnBytes(column, b[:])
	return money.AmountFromBytes(b)
}

func (w *writer) newest(conn *sqlite.Conn) (number uint64, err error) {
	err = query(conn, "SELECT max(id) FROM journal WHERE id BETWEEN ? AND ?", func(s *sqlite.Stmt) error {
		if !s.ColumnIsNull(0) {
			number = uint64(s.ColumnInt64(0) & (1<<store.NumberBits - 1))
		}
		return nil
	}, w.id<<store.NumberBits, w.id<<store.NumberBits|(1<<store.NumberBits-1))
	return number, err
}

// account returns an account's id, and assigns one the first time.
func (db *engine) account(conn *sqlite.Conn, name ledger.Account) (int64, error) {
	if id, ok := db.accounts.id[name]; ok {
		return id, nil
	}
	id, err := db.nextAccount(conn)
	if err != nil {
		return 0, err
	}
	add, err := conn.Prepare("INSERT INTO account (id, name) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
	if err != nil {
		return 0, err
	}
	add.BindInt64(1, id)
	add.BindText(2, string(name))
	if err := run(add); err != nil {
		return 0, fmt.Errorf("adding account %s: %w", name, err)
	}
	if conn.Changes() > 0 {
		db.accounts.next++
	} else if id, err = findAccount(conn, name); err != nil {
		return 0, fmt.Errorf("looking up account %s: %w", name, err)
	}
	if len(db.accounts.id) >= cached {
		clear(db.accounts.id)
	}
	db.accounts.id[name] = id
	return id, nil
}

// nextAccount is the id of the account that is added next.
func (db *engine) nextAccount(conn *sqlite.Conn) (int64, error) {
	if db.accounts.next == 0 {
		err := query(conn, "SELECT coalesce(max(id), 0) + 1 FROM account", func(s *sqlite.Stmt) error {
			db.accounts.next = s.ColumnInt64(0)
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return db.accounts.next, nil
}

func findAccount(conn *sqlite.Conn, name ledger.Account) (id int64, err error) {
	find, err := conn.Prepare("SELECT id FROM account WHERE name = ?")
	if err != nil {
		return 0, err
	}
	find.BindText(1, string(name))
	row, err := find.Step()
	if row {
		id = find.ColumnInt64(0)
	}
	if e := find.Reset(); err == nil {
		err = e
	}
	return id, err
}
