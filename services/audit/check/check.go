// Package check says whether every invariant of the ledger holds at one moment.
//
// The method is one snapshot of the store: the journal is folded once, row by
// row, and the result is compared with the balances, with what settle keeps
// beside the ledger (tallies, outstanding charges, suspense, sequences) and with
// what distribute keeps (distributions, shares, entitlements, payouts). A deep
// check also reads the usage stream, and counts its events against their
// outcomes.
//
// # Invariants
//
//   - Read only: a check writes nothing anywhere.
//   - One cut: everything read is of one commit; later commits are not seen.
//   - Stable: the same checks in the same order under the same names, always.
//   - Named: a check that fails names the first difference, with both sides.
//   - Bounded: memory grows with accounts and with what is owed, not with the
//     journal or the stream.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Check is one invariant and whether it holds.
type Check struct {
	Name   string `json:"name" doc:"Name of the check; it never changes."`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty" doc:"If the check fails: the first difference, with both sides."`
}

// All reports whether every check holds.
func All(list []Check) bool {
	for _, c := range list {
		if !c.OK {
			return false
		}
	}
	return true
}

// Streams are the streams with which a store is compared.
type Streams struct {
	Usage   []*eventlog.Stream // one for each partition; without any, checks that need them are left out
	Control *eventlog.Stream   // nil leaves out checks that need it
}

// Run checks a store, and compares what it says about streams with the streams.
// Deep reads the whole usage up to the cursors. An error means that something
// could not be read, not that an invariant is false.
func Run(ctx context.Context, db *store.DB, streams Streams, deep bool) (list []Check, err error) {
	err = db.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		list = nil
		b := &books{snapshot: snapshot}
		if err := b.read(); err != nil {
			return err
		}
		for _, c := range b.checks(ctx, streams, deep) {
			detail, err := c.find()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			list = append(list, Check{Name: c.name, OK: detail == "", Detail: detail})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checking the store: %w", err)
	}
	return list, nil
}

// one is a check to be made. find returns the first difference, or "".
type one struct {
	name string
	find func() (string, error)
}

func (b *books) checks(ctx context.Context, streams Streams, deep bool) []one {
	list := []one{
		{"journal_complete", b.journalComplete},
		{"balances_equal_journal", b.balancesEqualJournal},
		{"debits_equal_credits", b.debitsEqualCredits},
		{"accounts_have_one_writer", b.oneWriter},
		{"no_negative_balances", b.noNegativeBalances},
		{"charges_equal_earned", b.chargesEqualEarned},
		{"charged_events_within_accepted", b.chargedEventsWithinAccepted},
		{"outstanding_equals_receivables", b.outstandingEqualsReceivables},
		{"collected_equals_what_is_not_handed_over", b.collectedEqualsNotHandedOver},
		{"deposits_equal_collected_and_prepaid", b.depositsEqualCollectedAndPrepaid},
		{"collected_equals_fees_providers_pools_and_undistributed", b.collectedAccounted},
		{"tallies_equal_outcomes", b.talliesEqualOutcomes},
		{"sequences_accepted_once", b.sequencesAcceptedOnce},
		{"inboxes_equal_handovers_and_distributions", b.inboxesAgree},
		{"pools_equal_shares", b.poolsEqualShares},
		{"payouts_equal_plans", b.payoutsEqualPlans},
		{"shares_equal_payouts_payable_and_held", b.sharesAccounted},
		{"payouts_equal_accounts", b.payoutsEqualAccounts},
		{"distributions_as_told", b.distributionsAsTold},
	}
	if streams.Control != nil {
		list = append(list, one{"distributions_as_declared", func() (string, error) { return b.distributionsAsDeclared(ctx, streams.Control) }})
	}
	if all := streams.Usage; len(all) > 0 {
		list = append(list,
			one{"cursor_within_stream", func() (string, error) { return b.cursorsWithinStreams(ctx, all) }},
			one{"sources_within_stream", func() (string, error) { return b.sourcesWithinStreams(ctx, all) }})
		if deep {
			list = append(list, one{"outcomes_equal_usage", func() (string, error) { return b.outcomesEqualUsage(ctx, all) }})
		}
	}
	return list
}

// cursorOf returns the cursor of a stream.
func (b *books) cursorOf(usage *eventlog.Stream) (settlement.Cursor, error) {
	cursors, err := b.snapshot.Cursors()
	if err != nil {
		return settlement.Cursor{}, err
	}
	for _, c := range cursors {
		if c.Stream == usage.Name() {
			return c, nil
		}
	}
	return settlement.Cursor{}, nil
}

// cursorsWithinStreams: every settled partition's stream is there and agrees with
// its cursor.
func (b *books) cursorsWithinStreams(ctx context.Context, usage []*eventlog.Stream) (string, error) {
	cursors, err := b.snapshot.Cursors()
	if err != nil {
		return "", err
	}
	for _, c := range cursors {
		stream := eventlog.OfPartition(c.Partition, usage...)
		if stream == nil {
			return fmt.Sprintf("partition %d is settled up to %d of %s, but that stream is missing", c.Partition, c.Position, c.Stream), nil
		}
		if broken, err := b.cursorWithinStream(ctx, stream); err != nil || broken != "" {
			return broken, err
		}
	}
	return "", nil
}

// cursorWithinStream: the stream is the one in the cursor, and has the message
// that the cursor remembers.
func (b *books) cursorWithinStream(ctx context.Context, usage *eventlog.Stream) (string, error) {
	c, err := b.cursorOf(usage)
	if err != nil || c.Position == 0 {
		return "", err
	}
	err = usage.Verify(ctx, c.Position, c.Hash, time.Unix(0, c.Created))
	for _, broken := range []error{eventlog.ErrRewound, eventlog.ErrAltered, eventlog.ErrOtherStream, eventlog.ErrGap, eventlog.ErrNotFound} {
		if errors.Is(err, broken) {
			return err.Error(), nil
		}
	}
	return "", err
}
