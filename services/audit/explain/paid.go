package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// followUp explains where the money of a charge went: to the token of its node
// and, through the distributions that took the node's revenue, to the holders.
// The money of one node is not kept apart by charge, so followUp follows
// everything that was collected for the node and handed over after the charge
// was posted.
func (e *explainer) followUp(n *Node, token events.Token, node events.Node, under uint64) error {
	made, err := e.snapshot.Distributions(token)
	if err != nil {
		return err
	}
	for i := range made {
		d := &made[i]
		if d.Control <= under {
			continue
		}
		revenue, err := e.handed(d)
		if err != nil {
			return err
		}
		for _, pool := range d.Pools {
			var took money.Amount
			for k, amount := range revenue { // map order: a sum
				if k.asset != pool.Asset || k.node != string(node) {
					continue
				}
				if took, err = took.Add(amount); err != nil {
					return err
				}
			}
			if took.IsZero() {
				continue
			}
			to, err := e.holdersPaid(d, pool)
			if err != nil {
				return err
			}
			n.To = append(n.To, Node{
				Kind: "distribution", ID: d.ID, To: to,
				Summary: fmt.Sprintf("Distribution %s took %v %s that were collected for node %s, and paid from its pool of %v", d.ID, took, pool.Asset, node, pool.Pool),
			})
		}
	}
	if len(n.To) == 0 {
		n.To = append(n.To, Node{Kind: "waiting", Summary: fmt.Sprintf("Nothing that was collected for node %s since then has been distributed yet", node)})
	}
	return nil
}

// holdersPaid lists who was paid by a distribution in one asset: the largest
// payouts, and the sum of the others.
func (e *explainer) holdersPaid(d *distribution.Distribution, pool distribution.Pool) (list []Node, err error) {
	var largest []distribution.Payout
	others, sum := 0, money.Amount{}
	err = e.snapshot.Payouts(d, func(p distribution.Payout) (err error) {
		if p.Asset != pool.Asset {
			return nil
		}
		at, _ := slices.BinarySearchFunc(largest, p, func(a, b distribution.Payout) int {
			if c := b.Amount.Cmp(a.Amount); c != 0 {
				return c
			}
			return strings.Compare(string(a.Holder), string(b.Holder))
		})
		largest = slices.Insert(largest, at, p)
		if len(largest) > shownPayouts {
			others++
			sum, err = sum.Add(largest[shownPayouts].Amount)
			largest = largest[:shownPayouts]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range largest {
		n := Node{Kind: "payout", ID: p.ID, Summary: fmt.Sprintf("Payout %s of %v %s to %s is %s", p.ID, p.Amount, p.Asset, p.Holder, p.State)}
		list = append(list, n)
	}
	if others > 0 {
		list = append(list, Node{Kind: "more", Summary: fmt.Sprintf("… and %d smaller payouts of %v %s", others, sum, pool.Asset)})
	}
	if !pool.Held.IsZero() {
		list = append(list, Node{Kind: "held", Summary: fmt.Sprintf("%v %s are held for holders who may not be paid", pool.Held, pool.Asset)})
	}
	return list, nil
}

// paymentOf finds the posting of a payout in the journal row of its distribution.
func (e *explainer) paymentOf(d *distribution.Distribution, p distribution.Payout) (Node, bool, error) {
	w, err := e.distributeWriter()
	if err != nil {
		return Node{}, false, err
	}
	number, err := e.snapshot.FirstAt(w, d.Control)
	if err != nil {
		return Node{}, false, err
	}
	payable, rail := ledger.HolderPayable(p.Holder), ledger.RailInFlight(d.Rail)
	for ; number <= w.Last; number++ {
		row, r, err := e.record(w, number)
		if err != nil || row.Cut > d.Control {
			return Node{}, false, err
		}
		for i := range r.Entries {
			for j := range r.Entries[i].Postings {
				if q := &r.Entries[i].Postings[j]; q.Debit == payable && q.Credit == rail && q.Asset == p.Asset {
					l := line{w, number, i, j}
					return Node{Kind: "posting", ID: l.String(), Summary: l.text(&r.Entries[i], q)}, true, nil
				}
			}
		}
	}
	return Node{}, false, nil
}

// carriedIn finds the token's last distribution before that gave the holder a
// share: what was payable before came from that distribution and earlier ones.
func (e *explainer) carriedIn(d *distribution.Distribution, p distribution.Payout) (list []Node, err error) {
	made, err := e.snapshot.Distributions(d.Token)
	if err != nil {
		return nil, err
	}
	for i := len(made) - 1; i >= 0 && len(list) == 0; i-- {
		if made[i].Control >= d.Control {
			continue
		}
		share, ok, err := e.snapshot.ShareOf(&made[i], p.Asset, p.Holder)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, Node{Kind: "carried", ID: made[i].ID,
				Summary: fmt.Sprintf("The amount carried in came from distribution %s, whose share was %v %s, and from earlier ones", made[i].ID, share.Amount, p.Asset)})
		}
	}
	return list, nil
}

// tiers explains the steps of the waterfall that gave a pool.
func (e *explainer) tiers(d *distribution.Distribution, p *distribution.Pool) ([]Node, error) {
	known, err := e.decisions()
	if err != nil {
		return nil, err
	}
	fees := Node{Kind: "tier", Summary: fmt.Sprintf("Tier 1, the fee: %v %s = %d basis points of %v, half-even, to %s", p.Fee, p.Asset, p.FeeBasisPoints, p.Inbox, ledger.PlatformFees)}
	for _, w := range known.waterfalls[d.Token] {
		if w.position < d.Control && w.basisPoints == p.FeeBasisPoints {
			fees.Facts = []Fact{{"waterfall by", w.decided.String()}}
		}
	}
	rest := Node{Kind: "tier", Summary: fmt.Sprintf("Tier 2, the rest: %v %s to %d holders, pro rata to their units of %v", p.Pool, p.Asset, d.Holders, d.Supply)}
	return []Node{fees, rest}, nil
}
