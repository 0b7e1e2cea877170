package posting

import (
	"slices"
	"strings"
)

// rank numbers nodes and customers in the order of their names, so that sorting
// lines compares numbers. It does so again only when there are new names.
func (c *caches) rank() {
	if c.rankedNodes != len(c.node) {
		c.rankedNodes = len(c.node)
		for rank, at := range ordered(len(c.node), func(i int) string { return string(c.node[i].name) }) {
			c.node[at].rank = rank
		}
	}
	if c.rankedCustomers != len(c.customer) {
		c.rankedCustomers = len(c.customer)
		for rank, at := range ordered(len(c.customer), func(i int) string { return string(c.customer[i].name) }) {
			c.customer[at].rank = rank
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
