package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

var errOtherHandovers = errors.New("the handovers contradict those that were followed before")

// KeyFile is the file of a witness's own key: a secret.
func KeyFile(dir string) string { return filepath.Join(dir, "witness.key") }

// PublicKeyFile is the file of the key that verifies its cosignatures.
func PublicKeyFile(dir string) string { return filepath.Join(dir, "witness.pub") }

// EnsureKey returns the public key of the witness in a folder, and makes one the
// first time, so that logs can be told of the key before the witness runs.
func EnsureKey(dir, name string) (string, error) {
	w := &Witness{config: Config{Dir: dir, Name: name}}
	defer func() { _ = w.Close() }()
	err := w.makeFolders()
	if err == nil {
		err = w.openKey()
	}
	if err != nil {
		return "", fmt.Errorf("opening the witness: %w", err)
	}
	return w.public, nil
}

// openKey reads the witness's key, and makes one the first time.
func (w *Witness) openKey() error {
	text, err := os.ReadFile(KeyFile(w.config.Dir))
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = w.newKey(); err != nil {
			return fmt.Errorf("making the witness's key: %w", err)
		}
	}
	if err != nil {
		return err
	}
	if w.name, w.seed, err = tlog.ParseCosigner(string(text)); err != nil {
		return fmt.Errorf("%s: %w", KeyFile(w.config.Dir), err)
	}
	if w.config.Name != "" && w.config.Name != w.name {
		return fmt.Errorf("the key in %s belongs to %s, not to %s", w.config.Dir, w.name, w.config.Name)
	}
	cosigner, err := tlog.NewCosigner(w.name, w.seed, 1)
	if err != nil {
		return err
	}
	w.public = cosigner.PublicKey()
	if w.key, err = tlog.ParseCosignatureKey(w.public); err != nil {
		return err
	}
	return durable.Replace(PublicKeyFile(w.config.Dir), []byte(w.public+"\n"), 0o644, nil)
}

// newKey makes a key. It fails if something was cosigned with a key that is gone.
func (w *Witness) newKey() ([]byte, error) {
	if entries, err := os.ReadDir(filepath.Join(w.config.Dir, "logs")); err != nil || len(entries) > 0 {
		return nil, errors.Join(fmt.Errorf("there are cosigned checkpoints, but no %s", KeyFile(w.config.Dir)), err)
	}
	var seed [ed25519.SeedSize]byte
	_, _ = rand.Read(seed[:]) // never fails
	name := w.config.Name
	if name == "" {
		hash := sha256.Sum256(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
		name = "aliquot-witness/" + hex.EncodeToString(hash[:8])
	}
	if _, err := tlog.NewCosigner(name, seed, 1); err != nil {
		return nil, err
	}
	text := []byte(tlog.CosignerText(name, seed) + "\n")
	return text, durable.Replace(KeyFile(w.config.Dir), text, 0o600, nil)
}

// readKeys returns the keys to which a trusted key and the handovers that were
// followed before lead.
func (w *Witness) readKeys(trusted *tlog.PublicKey) (*tlog.Succession, error) {
	entries, err := os.ReadDir(filepath.Join(w.config.Dir, "keys"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(w.config.Dir, "keys", e.Name()))
		if err != nil {
			return nil, err
		}
		var notes [][]byte
		if err := strict.Decode(data, &notes); err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.Name(), err)
		}
		if keys, err := tlog.NewSuccession(trusted, notes...); err == nil {
			return keys, nil
		}
	}
	return tlog.NewSuccession(trusted)
}

// Follow accepts the handovers of an installation's log keys. They must continue
// those that were followed before. Afterwards the witness cosigns what the new
// key signs.
func (w *Witness) Follow(handovers [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(handovers) == 0 {
		return nil
	}
	for _, of := range w.logs {
		keys, err := tlog.NewSuccession(of.trusted, handovers...)
		if err != nil {
			continue
		}
		was := of.keys.Keys()
		now := keys.Keys()
		// A key that was trusted alone may turn out not to be the first one.
		if len(was) > 1 {
			for i := range min(len(was), len(now)) {
				if now[i].String() != was[i].String() {
					return fmt.Errorf("following the keys of %s: %w", of.keys.Installation(), errOtherHandovers)
				}
			}
			if len(now) <= len(was) {
				return nil // There is nothing new; a shorter list is an old copy.
			}
		}
		data, err := json.Marshal(keys.Notes())
		if err != nil {
			return err
		}
		file := filepath.Join(w.config.Dir, "keys", filepath.Base(keys.Installation())+".json")
		if err := durable.Replace(file, data, 0o600, w.config.Fault); err != nil {
			return fmt.Errorf("storing handovers: %w", err)
		}
		w.config.Logger.Info("the key of the logs was handed over", "installation", keys.Installation(), "key", keys.Current().String())
		of.keys = keys
		return nil
	}
	return fmt.Errorf("following handovers: %w", ErrUnknown)
}
