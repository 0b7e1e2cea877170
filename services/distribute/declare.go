package distribute

import (
	"context"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Declaration returns a declaration that rests on everything there is now, for
// a command to append to CONTROL: it waits until LEDGER says that the period
// is settled, and then takes the last positions of the streams. The period
// must be closed; ctx bounds the wait. recordDate is for people: holdings are
// those at the register position.
func (d *Distributor) Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error) {
	b := events.DistributionDeclared{Distribution: id, Token: token.Token, Period: period, RecordDate: recordDate}
	for {
		d.mu.Lock()
		followed := d.followed
		d.mu.Unlock()
		at, err := d.config.Store.SettledAt(ctx, token.Book, period)
		if err != nil {
			return b, err
		}
		if at > 0 {
			break
		}
		if err := d.wait(ctx, func() bool { return d.followed > followed }); err != nil {
			return b, fmt.Errorf("declaring %s: period %s of book %s is not settled: %w", id, period, token.Book, err)
		}
	}
	var err error
	if b.LedgerSeq, err = d.config.Ledger.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	if b.RegisterSeq, err = d.config.Register.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	if b.ControlSeq, err = d.config.Control.Last(ctx); err != nil {
		return b, fmt.Errorf("declaring %s: %w", id, err)
	}
	return b, nil
}
