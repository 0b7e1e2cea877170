package sqlite

import (
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// A rail answers for thousands of payouts at once, and usually for all payouts
// that are adjacent in the table, so these are written as one range. OR FAIL: see
// insertRows.

// changes writes the new states of payouts, which must ascend by id.
func changes(conn *sqlite.Conn, list []distribution.Change) error {
	known := map[string]int64{}
	for len(list) > 0 {
		c := &list[0]
		control, ok := known[c.Distribution]
		if !ok {
			var err error
			if control, err = store.ControlOf(&reader{conn}, c.Distribution); err != nil {
				return err
			}
			known[c.Distribution] = control
		}
		n, err := neighbours(conn, control, list)
		if err != nil {
			return fmt.Errorf("looking for payouts of %s: %w", c.Distribution, err)
		}
		put, err := conn.Prepare(`UPDATE OR FAIL payout SET state = ?1, reference = CASE ?2 WHEN '' THEN reference ELSE ?2 END
			WHERE distribution = ?3 AND id BETWEEN ?4 AND ?5`)
		if err != nil {
			return err
		}
		put.BindText(1, string(c.State))
		put.BindText(2, c.Reference)
		put.BindInt64(3, control)
		put.BindText(4, c.Payout)
		put.BindText(5, list[n-1].Payout)
		if err := run(put); err != nil {
			return fmt.Errorf("writing the state of payout %s: %w", c.Payout, err)
		}
		if conn.Changes() != n {
			return fmt.Errorf("writing the state of payout %s: distribution %s has no such payout", c.Payout, c.Distribution)
		}
		list = list[n:]
	}
	return nil
}

// neighbours returns how many changes at the beginning of the list make the
// same change to adjacent payouts of the table; at least 1.
func neighbours(conn *sqlite.Conn, control int64, list []distribution.Change) (n int, err error) {
	same := 1
	for same < len(list) && alike(&list[same-1], &list[same]) {
		same++
	}
	if same == 1 {
		return 1, nil
	}
	find, err := conn.Prepare("SELECT id FROM payout WHERE distribution = ? AND id BETWEEN ? AND ? ORDER BY id")
	if err != nil {
		return 0, err
	}
	find.BindInt64(1, control)
	find.BindText(2, list[0].Payout)
	find.BindText(3, list[same-1].Payout)
	var id []byte
	for n < same {
		row, err := find.Step()
		if err != nil {
			return 0, err
		}
		if !row {
			break
		}
		if length := find.ColumnLen(0); length <= cap(id) {
			id = id[:length]
		} else {
			id = make([]byte, length)
		}
		find.ColumnBytes(0, id)
		if string(id) != list[n].Payout {
			break
		}
		n++
	}
	return max(n, 1), find.Reset()
}

// alike reports whether b makes the same change to a later payout as a.
func alike(a, b *distribution.Change) bool {
	return a.Distribution == b.Distribution && a.State == b.State && a.Reference == b.Reference && a.Payout < b.Payout
}
