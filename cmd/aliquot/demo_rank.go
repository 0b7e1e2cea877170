package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func debit(b api.Balance) money.Amount  { return b.Debit }
func credit(b api.Balance) money.Amount { return b.Credit }

func suffixed(list []api.Balance, suffix string) []api.Balance {
	var out []api.Balance
	for _, b := range list {
		if strings.HasSuffix(string(b.Account), suffix) {
			out = append(out, b)
		}
	}
	return out
}

// largest returns the first few balances, in descending order of a side, then
// by name.
func largest(list []api.Balance, side func(api.Balance) money.Amount) []api.Balance {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b api.Balance) int {
		return cmp.Or(side(b).Cmp(side(a)), strings.Compare(string(a.Account), string(b.Account)))
	})
	return sorted[:min(shownTop, len(sorted))]
}

// others adds up a side of the balances that [largest] omits, so that its lines
// and this sum make up the total. It is ok if there are such balances, all are
// in one asset, and the sum fits.
func others(list []api.Balance, side func(api.Balance) money.Amount) (sum money.Amount, n int, ok bool) {
	listed := map[api.Balance]bool{}
	for _, b := range largest(list, side) {
		listed[b] = true
	}
	var asset money.Asset
	for _, b := range list {
		if listed[b] {
			continue
		}
		var err error
		if sum, err = sum.Add(side(b)); err != nil || n > 0 && b.Asset != asset {
			return sum, n, false
		}
		asset = b.Asset
		n++
	}
	return sum, n, n > 0
}

func unpaid(b api.Balance) money.Amount { return b.Net }

// middle returns the id in the name of an account, such as node:<id>:earned.
func middle(b api.Balance) string {
	name := string(b.Account)
	return name[strings.Index(name, ":")+1 : strings.LastIndex(name, ":")]
}

func topPayees(list []payee) []payee {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b payee) int {
		return cmp.Or(b.Amount.Cmp(a.Amount), strings.Compare(string(a.Holder), string(b.Holder)))
	})
	return sorted[:min(shownTop, len(sorted))]
}

// regionSum is the sum of what a region's nodes earned.
type regionSum struct {
	name  string
	nodes int
	sum   money.Amount
}

// byRegion adds up what nodes earned. A balance that would make the sum
// overflow is omitted, because no ledger can hold such a sum.
func byRegion(earned []api.Balance, regions map[events.Node]string) []regionSum {
	sums := map[string]regionSum{}
	for _, b := range earned {
		name := regions[events.Node(middle(b))]
		r := sums[name]
		r.name = name
		r.nodes++
		if sum, err := r.sum.Add(b.Credit); err == nil {
			r.sum = sum
		}
		sums[name] = r
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b regionSum) int {
		return cmp.Or(b.sum.Cmp(a.sum), strings.Compare(a.name, b.name))
	})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
