package store

import (
	"context"
	"fmt"
)

// Signer returns the public key that the store knows to sign the logs of the
// streams; empty where nobody was told.
func (db *DB) Signer(ctx context.Context) (key string, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		return conn.Query("SELECT log_key FROM signer", func(r Row) error {
			key = r.Text(0)
			return nil
		})
	})
	if err != nil {
		return "", fmt.Errorf("reading who signs the logs: %w", err)
	}
	return key, nil
}

// Sign tells the store which public key signs the logs. The first one is
// recorded; later another is refused, since it would begin a second history,
// unless the one that is known is among those before, which handed the logs over
// to this key.
func (db *DB) Sign(ctx context.Context, key string, before ...string) error {
	err := db.write(ctx, func(tx Tx) error {
		// Of two at once, the second one finds the first one's key: its transaction
		// waits here, or begins again.
		if _, err := tx.Exec("INSERT INTO signer (one, log_key) VALUES (1, '') ON CONFLICT (one) DO NOTHING"); err != nil {
			return err
		}
		known := ""
		err := tx.Query("SELECT log_key FROM signer", func(r Row) error {
			known = r.Text(0)
			return nil
		})
		if err != nil {
			return err
		}
		write, err := signs(known, key, before)
		if err == nil && write {
			_, err = tx.Exec("UPDATE signer SET log_key = ?1", key)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("telling the store who signs the logs: %w", err)
	}
	return nil
}

// signs compares the key that a store knows with one that is to sign. write tells
// whether the store is to know this one.
func signs(known, key string, before []string) (write bool, err error) {
	if known == key {
		return false, nil
	}
	if known == "" {
		return true, nil
	}
	for _, old := range before {
		if known == old {
			return true, nil
		}
	}
	return false, fmt.Errorf("the logs of this installation are signed by the key %s, this is %s", known, key)
}
