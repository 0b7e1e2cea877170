package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/aliquot-engine/aliquot/internal/store"
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

// Belong is [store.DB.Belong].
func (db *engine) Belong(ctx context.Context, installation string) error {
	var known string
	err := db.write(ctx, func(conn *sqlite.Conn) error {
		if err := query(conn, "INSERT INTO installation (one, name) VALUES (1, ?) ON CONFLICT DO NOTHING", nil, installation); err != nil {
			return err
		}
		return query(conn, "SELECT name FROM installation", func(s *sqlite.Stmt) error {
			known = s.ColumnText(0)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("telling the store whose it is: %w", err)
	}
	return store.Belongs(known, installation)
}

// Sign is [store.DB.Sign].
func (db *engine) Sign(ctx context.Context, key string, before []string) error {
	return db.write(ctx, func(conn *sqlite.Conn) error {
		known := ""
		err := query(conn, "SELECT log_key FROM signer", func(s *sqlite.Stmt) error {
			known = s.ColumnText(0)
			return nil
		})
		if err != nil {
			return err
		}
		write, err := store.Signs(known, key, before)
		if err == nil && write {
			err = query(conn, "INSERT INTO signer (one, log_key) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET log_key = excluded.log_key", nil, key)
		}
		return err
	})
}
