package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/strict"
)

// Balance is what was posted to an account in one asset.
type Balance struct {
	Account ledger.Account `json:"account"`
	Asset   money.Asset    `json:"asset"`
	Debit   money.Amount   `json:"debit"`
	Credit  money.Amount   `json:"credit"`
}

// Account is an account whose balance differs between the two sides.
type Account struct {
	Account    ledger.Account `json:"account"`
	Asset      money.Asset    `json:"asset"`
	Was        Sides          `json:"was" doc:"The side that was compared with."`
	Is         Sides          `json:"is" doc:"The side that was derived."`
	Difference money.Amount   `json:"difference" doc:"Credit less debit of the derived side, less that of the other side; 0 if only the turnover differs."`
}

// Sides is what was posted to an account.
type Sides struct {
	Debit  money.Amount `json:"debit"`
	Credit money.Amount `json:"credit"`
}

// Net is credit less debit, or 0 if that is out of range, which no real ledger
// reaches.
func (s Sides) Net() money.Amount {
	n, err := s.Credit.Sub(s.Debit)
	if err != nil {
		return money.Amount{}
	}
	return n
}

// Outcome is the result of another replay, possibly by another program.
type Outcome struct {
	State    *settlement.State
	Balances []Balance
}

// balancesOf lists the balances of every account, ascending by account and asset.
func balancesOf(s *store.Snapshot) ([]Balance, error) {
	list, err := s.Balances("")
	balances := make([]Balance, len(list))
	for i, b := range list {
		balances[i] = Balance{b.Account, b.Asset, b.Debit, b.Credit}
	}
	slices.SortFunc(balances, order)
	return balances, err
}

func order(a, b Balance) int {
	return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Asset, b.Asset))
}

// differingAccounts compares two lists, both ascending.
func differingAccounts(was, is []Balance) (list []Account) {
	for len(was) > 0 || len(is) > 0 {
		var a, b Balance
		switch {
		case len(is) == 0 || len(was) > 0 && order(was[0], is[0]) < 0:
			a, was = was[0], was[1:]
			b.Account, b.Asset = a.Account, a.Asset
		case len(was) == 0 || order(was[0], is[0]) > 0:
			b, is = is[0], is[1:]
			a.Account, a.Asset = b.Account, b.Asset
		default:
			a, b, was, is = was[0], is[0], was[1:], is[1:]
		}
		if a == b {
			continue
		}
		one := Account{Account: a.Account, Asset: a.Asset, Was: Sides{a.Debit, a.Credit}, Is: Sides{b.Debit, b.Credit}}
		if d, err := one.Is.Net().Sub(one.Was.Net()); err == nil {
			one.Difference = d
		}
		list = append(list, one)
	}
	return list
}

var errNoBalances = errors.New("it has no balances: make it with replay --json --balances")

// ParseOutcome reads the JSON that a replay with balances has printed.
func ParseOutcome(data []byte) (*Outcome, error) {
	var r Result
	if err := strict.Decode(data, &r); err != nil {
		return nil, fmt.Errorf("reading the result of another replay: %w", err)
	}
	if len(r.Balances) == 0 {
		return nil, fmt.Errorf("reading the result of another replay: %w", errNoBalances)
	}
	slices.SortFunc(r.Balances, order)
	for i, b := range r.Balances {
		if i > 0 && order(r.Balances[i-1], b) == 0 {
			return nil, fmt.Errorf("reading the result of another replay: account %.80q has two balances in %.20q", b.Account, b.Asset)
		}
	}
	return &Outcome{State: r.State, Balances: r.Balances}, nil
}
