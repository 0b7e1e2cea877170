package keeper

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// PrivateKeyFile is the file with an installation's log key: a secret.
func PrivateKeyFile(dir string) string { return filepath.Join(dir, "keys", "log.key") }

// PublicKeyFile is the file with the key that verifies the logs.
func PublicKeyFile(dir string) string { return filepath.Join(dir, "keys", "log.pub") }

// newKey makes a random key.
func newKey() (*tlog.Key, error) {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	return tlog.NewKey(seed)
}

// EnsureKey reads an installation's log key, and makes one the first time. If
// there is a log but no key, it fails: nobody who knows the old key would believe
// a new one.
func EnsureKey(dir string) (*tlog.Key, error) {
	text, err := os.ReadFile(PrivateKeyFile(dir))
	if err == nil {
		key, err := tlog.ParseKey(string(text))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", PrivateKeyFile(dir), err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the log key: %w", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "tlog")); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("reading the log key: there are logs, but no %s", PrivateKeyFile(dir))
	}
	if signed, _ := filepath.Glob(filepath.Join(dir, "archive", "*.checkpoint")); len(signed) > 0 { // the pattern is valid
		return nil, fmt.Errorf("reading the log key: a key has signed %s, but there is no %s", signed[0], PrivateKeyFile(dir))
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return nil, fmt.Errorf("making the log key: %w", err)
	}
	// The public half is written first, because the private file decides whether
	// there is a key.
	if err := durable.Replace(PublicKeyFile(dir), []byte(key.Public().String()+"\n"), 0o644, nil); err != nil {
		return nil, fmt.Errorf("writing the public log key: %w", err)
	}
	if err := durable.Replace(PrivateKeyFile(dir), []byte(key.Private()+"\n"), 0o600, nil); err != nil {
		return nil, fmt.Errorf("writing the log key: %w", err)
	}
	return key, nil
}
