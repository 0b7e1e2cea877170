package distribute

import (
	"context"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Declaration is [Declare] for a running distributor: it checks again whenever
// the distributor has read more of LEDGER.
func (d *Distributor) Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error) {
	b := events.DistributionDeclared{Distribution: id, Token: token.Token, Period: period, RecordDate: recordDate}
	settled := func() error {
		for {
			followed := d.followed.At()
			at, err := d.config.Store.SettledAt(ctx, token.Book, period)
			if err != nil || at > 0 {
				return err
			}
			if err := waited(ctx, d.followed.Wait(ctx, followed+1)); err != nil {
				return fmt.Errorf("period %s of book %s is not settled: %w", period, token.Book, err)
			}
		}
	}
	return Declare(ctx, b, d.config.Control, d.config.Ledger, d.config.Register, settled)
}

// Declare completes a declaration, for a command to append to CONTROL, so that
// it rests on everything that the streams have now: it calls settled, which
// returns when LEDGER says that the period is settled, and then takes the last
// positions of the streams. The period must be closed, or settled waits until
// its own context ends. The record date is information for people: the holdings
// are those at the register position.
func Declare(ctx context.Context, b events.DistributionDeclared, control, ledger, register *eventlog.Stream, settled func() error) (events.DistributionDeclared, error) {
	err := settled()
	for _, last := range []struct {
		of *eventlog.Stream
		to *uint64
	}{{ledger, &b.LedgerSeq}, {register, &b.RegisterSeq}, {control, &b.ControlSeq}} {
		if err == nil {
			*last.to, err = last.of.Last(ctx)
		}
	}
	if err != nil {
		return b, fmt.Errorf("declaring %s: %w", b.Distribution, err)
	}
	return b, nil
}
