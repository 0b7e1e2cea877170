package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Balance is what was posted to an account in one asset, over all writers.
type Balance struct {
	Account       ledger.Account
	Asset         money.Asset
	Debit, Credit money.Amount
}

func balanceOf(r Row) Balance {
	return Balance{ledger.Account(r.Text(0)), money.Asset(r.Text(1)), r.Amount(2), r.Amount(3)}
}

// Balances returns the balances of the accounts whose name begins with prefix
// (every account: ""), ascending by account and asset, summed over writers.
func (db *DB) Balances(ctx context.Context, prefix string) (list []Balance, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		list, err = s.Balances(prefix)
		return err
	})
	return list, err
}

// Balances is [DB.Balances].
func (s *Snapshot) Balances(prefix string) (list []Balance, err error) {
	// Writer by writer, as the key has them. Names are UTF-8, so U+10FFFF sorts
	// after every name with the prefix.
	var writers []int64
	err = s.conn.Query("SELECT id FROM writer ORDER BY id", func(r Row) error {
		writers = append(writers, r.Int64(0))
		return nil
	})
	var rows []Balance
	for _, w := range writers {
		if err == nil {
			err = s.conn.Query("SELECT account, asset, debit, credit FROM posted WHERE writer = ?1 AND account >= ?2 AND account < ?3", func(r Row) error {
				rows = append(rows, balanceOf(r))
				return nil
			}, w, prefix, prefix+"\U0010ffff")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading balances: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b Balance) int {
		return cmp.Or(strings.Compare(string(a.Account), string(b.Account)), strings.Compare(string(a.Asset), string(b.Asset)))
	})
	for _, b := range rows {
		n := len(list)
		if n == 0 || list[n-1].Account != b.Account || list[n-1].Asset != b.Asset {
			list = append(list, b)
			continue
		}
		last := &list[n-1]
		if last.Debit, err = last.Debit.Add(b.Debit); err == nil {
			last.Credit, err = last.Credit.Add(b.Credit)
		}
		if err != nil {
			return nil, fmt.Errorf("reading balances: summing %s: %w", b.Account, err)
		}
	}
	return list, nil
}

// BalanceRows calls each for the balances that one writer keeps.
func (s *Snapshot) BalanceRows(w WriterState, each func(Balance) error) error {
	err := s.conn.Query("SELECT account, asset, debit, credit FROM posted WHERE writer = ?1", func(r Row) error { return each(balanceOf(r)) }, w.id)
	if err != nil {
		return fmt.Errorf("reading the balances of %s: %w", w.Name, err)
	}
	return nil
}

// SharedAccounts returns the accounts that more than one writer has posted to,
// ascending.
func (s *Snapshot) SharedAccounts() (list []ledger.Account, err error) {
	err = s.conn.Query("SELECT account FROM posted GROUP BY account HAVING count(DISTINCT writer) > 1 ORDER BY account", func(r Row) error {
		list = append(list, ledger.Account(r.Text(0)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return list, nil
}
