package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// A rail answers for thousands of payouts at once, and usually for all payouts
// that are adjacent in the table, so these are read and written as one range.

// skipped is how many unwanted rows are read before a seek to the next wanted
// one, because a seek costs about as much.
const skipped = 8

// errEnough ends a query whose remaining rows are not needed.
var errEnough = errors.New("enough rows")

// PayoutsOf calls each for every named payout that the distribution has. The
// names must ascend.
func (db *DB) PayoutsOf(ctx context.Context, id string, names []string, each func(distribution.Payout) error) error {
	err := passing(ctx, db, each, func(conn Conn, each func(distribution.Payout) error) error {
		control, err := ControlOf(conn, id)
		for rest := names; len(rest) > 0 && err == nil; {
			rest, err = payoutsFrom(conn, control, rest, each)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading payouts of %s: %w", id, err)
	}
	return nil
}

// payoutsFrom reads from the first name on, and returns the names that still
// have to be found by a seek.
func payoutsFrom(conn Conn, control int64, names []string, each func(distribution.Payout) error) (rest []string, err error) {
	others := 0
	err = conn.Query("SELECT "+payoutColumns+" FROM payout WHERE distribution = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id", func(r Row) error {
		p := payoutOf(r)
		for len(names) > 0 && names[0] < p.ID {
			names = names[1:] // no payout has this name
		}
		if len(names) == 0 {
			return errEnough
		}
		if names[0] != p.ID {
			if others++; others == skipped {
				rest = names
				return errEnough
			}
			return nil
		}
		others = 0
		if err := each(p); err != nil {
			return err
		}
		if names = names[1:]; len(names) == 0 {
			return errEnough
		}
		return nil
	}, control, names[0], names[len(names)-1])
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return rest, nil
}
