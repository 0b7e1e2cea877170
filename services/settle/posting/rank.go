package posting

import (
	"slices"
	"strings"
)

// rank numbers nodes and customers in the order of their names, so that sorting
// lines compares numbers. It does nothing if there are no new names.
func (a *admission) rank() {
	if a.rankedNodes != len(a.node) {
		a.rankedNodes = len(a.node)
		for rank, at := range ordered(len(a.node), func(i int) string { return string(a.node[i].name) }) {
			a.node[at].rank = rank
		}
	}
	if a.rankedCustomers != len(a.customer) {
		a.rankedCustomers = len(a.customer)
		for rank, at := range ordered(len(a.customer), func(i int) string { return string(a.customer[i].name) }) {
			a.customer[at].rank = rank
		}
	}
}

// ordered returns the indices below n in the order of their names.
func ordered(n int, name func(int) string) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(name(a), name(b)) })
	return order
}
