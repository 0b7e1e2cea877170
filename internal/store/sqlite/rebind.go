package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"
)

// Rebind is [store.DB.Rebind].
func (db *engine) Rebind(ctx context.Context, stream string, created int64) error {
	err := db.write(ctx, func(conn *sqlite.Conn) error {
		if err := query(conn, "UPDATE cursor SET created = ? WHERE stream = ?", nil, created, stream); err != nil {
			return err
		}
		switch stream {
		case "CONTROL":
			return query(conn, "UPDATE distribute_cursor SET control_created = ? WHERE control_created <> 0", nil, created)
		case "LEDGER":
			return query(conn, "UPDATE distribute_cursor SET ledger_created = ? WHERE ledger_created <> 0", nil, created)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("binding the cursors of %s: %w", stream, err)
	}
	return nil
}
