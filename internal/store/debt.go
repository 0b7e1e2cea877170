package store

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// What customers owe changes with every commit, for most pairs of a customer
// and a node. One row for each pair would be forty times as many rows, and most
// of the cost of a commit. So engines number the nodes, and one row has what
// one customer owes for 64 of them and one period.

// NodeBits is how many bits of a node's number distinguish it from the others
// in its row.
const NodeBits = 6

// debtBytes is the length of a line: a byte that is the node's number in its row
// plus one, and the 16 bytes of the amount. Lines ascend.
const debtBytes = 17

// Debt is what is owed for one node of a row.
type Debt struct {
	Node   int // its number in the row, 0 to 63
	Amount money.Amount
}

// MergeDebts appends to dst the lines of a row in which new debts replace the
// old ones, both ascending; debts of zero are left out.
func MergeDebts(dst, old []byte, debts []Debt) []byte {
	for len(old) >= debtBytes || len(debts) > 0 {
		if len(debts) == 0 || len(old) >= debtBytes && int(old[0]) <= debts[0].Node {
			dst, old = append(dst, old[:debtBytes]...), old[debtBytes:]
			continue
		}
		if len(old) >= debtBytes && int(old[0]) == debts[0].Node+1 {
			old = old[debtBytes:]
		}
		if amount := debts[0].Amount; !amount.IsZero() {
			b := amount.Bytes()
			dst = append(append(dst, byte(debts[0].Node+1)), b[:]...)
		}
		debts = debts[1:]
	}
	return dst
}

// Debts calls each for the lines of a row, ascending.
func Debts(lines []byte, each func(Debt) error) error {
	for ; len(lines) >= debtBytes; lines = lines[debtBytes:] {
		if lines[0] == 0 || lines[0] > 1<<NodeBits {
			return fmt.Errorf("reading what is owed: a line belongs to node %d of %d", lines[0], 1<<NodeBits)
		}
		if err := each(Debt{int(lines[0]) - 1, money.AmountFromBytes([16]byte(lines[1:debtBytes]))}); err != nil {
			return err
		}
	}
	if len(lines) > 0 {
		return fmt.Errorf("reading what is owed: %d bytes are not a line", len(lines))
	}
	return nil
}
