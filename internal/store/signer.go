package store

import (
	"context"
	"fmt"
)

// Signer returns the public key that signs the logs of the streams, as recorded
// in the store; empty if none is recorded.
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

// Sign records which public key signs the logs. Once a key is recorded, another
// one is refused, because it would begin a second history, unless the recorded
// key is in before, the keys from which the logs were handed over to this key.
func (db *DB) Sign(ctx context.Context, key string, before ...string) error {
	err := db.write(ctx, func(tx Tx) error {
		// If two processes do this at once, the second one finds the key of the
		// first: its transaction waits here or restarts.
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
		return fmt.Errorf("recording who signs the logs: %w", err)
	}
	return nil
}

// signs compares the recorded key with the one that signs now. write reports
// whether the new key must be recorded.
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
