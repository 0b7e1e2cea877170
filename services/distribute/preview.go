package distribute

import (
	"context"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/register"
)

// Preview plans a payout run without making it, for a caller who is about to
// ask for one. Call Move first, up to the register position that the run will
// rest on.
type Preview struct {
	owed     []distribution.Owed
	register register.Register
}

// NewPreview reads what a token owes.
func NewPreview(ctx context.Context, store Debts, token events.Token) (*Preview, error) {
	owed, err := OwedBy(ctx, store, token)
	return &Preview{owed: owed}, err
}

// Move applies the movements of one message of the token's register.
func (p *Preview) Move(m *events.Movements) {
	_, _ = p.register.Apply(m) // a repeated message, and a void movement, have no effect
}

// Holders calls each for the holders whose listing matters.
func (p *Preview) Holders(each func(events.Holder)) {
	for _, o := range p.owed {
		for i := range o.List {
			each(o.List[i].Holder)
		}
	}
	for _, one := range p.register.Recoveries() {
		each(one.Old)
		each(one.New)
	}
}

// Reason returns why a run would pay nothing; it is empty if the run would pay.
func (p *Preview) Reason(run string, token *events.TokenDeclared, listed func(events.Holder) bool) (string, error) {
	_, reason, err := payable(run, token, p.owed, &p.register, listed)
	return reason, err
}
