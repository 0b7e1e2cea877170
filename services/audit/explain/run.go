package explain

import (
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// payoutRun explains a payout run, which divides nothing and so has no shares
// and no revenue of its own. The reasons for its payouts are in the amounts
// carried in from earlier distributions.
func (e *explainer) payoutRun(d *distribution.Distribution) (Node, error) {
	n := Node{Kind: "payout run", ID: d.ID}
	n.Summary = fmt.Sprintf("Payout run %s of token %s: what was owed, without new revenue", d.ID, d.Token)
	n.fact("declared at", fmt.Sprintf("CONTROL position %d", d.Control))
	known, err := e.decisions()
	if err != nil {
		return n, err
	}
	if by, ok := known.at(d.Control); ok {
		n.fact("declared by", &by)
	}
	n.fact("rests on", fmt.Sprintf("REGISTER up to %d", d.Register))
	for _, p := range d.Pools {
		n.fact("payouts in "+string(p.Asset), fmt.Sprintf("%d of %v in all", p.Payouts, p.Planned))
	}
	return n, nil
}
