package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// HandoversFile is the file with the handovers of the log key. It is public: a
// JSON list of signed notes, the first one first.
func HandoversFile(dir string) string { return filepath.Join(dir, "keys", "handovers.json") }

// nextKeyFile is the file of the new key until it becomes the key.
func nextKeyFile(dir string) string { return PrivateKeyFile(dir) + ".next" }

var (
	errNextKey  = errors.New("the logs were handed over to a key that is not in this folder")
	errOtherKey = errors.New("no handover names the log key")
	errGone     = errors.New("the log is not the one that was handed over")
)

// Keys reads what verifies an installation's logs: the public key that signs now,
// and the handovers that led to it.
func Keys(dir string) (*tlog.Succession, error) {
	public, err := ReadPublicKey(dir)
	if err != nil {
		return nil, err
	}
	return Follow(dir, public)
}

// Follow reads the handovers in a folder that lead from a trusted key to the
// current one, or that led to the trusted key. Without any handover the trusted
// key is the only one.
func Follow(dir string, key *tlog.PublicKey) (*tlog.Succession, error) {
	var notes [][]byte
	data, err := os.ReadFile(HandoversFile(dir))
	if err == nil {
		var texts []string
		if err = strict.Decode(data, &texts); err == nil {
			for _, text := range texts {
				notes = append(notes, []byte(text))
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the handovers of the log key: %w", err)
	}
	keys, err := tlog.NewSuccession(key, notes...)
	if err != nil {
		return nil, fmt.Errorf("reading the handovers of the log key: %w", err)
	}
	return keys, nil
}

// EnsureKeys does the same as [EnsureKey] and also returns what verifies the
// logs. It first completes a rotation that was decided and then interrupted, so
// the caller must hold the folder.
func EnsureKeys(dir string) (*tlog.Key, *tlog.Succession, error) {
	key, err := EnsureKey(dir)
	if err != nil {
		return nil, nil, err
	}
	keys, err := Follow(dir, key.Public())
	if err != nil {
		return nil, nil, err
	}
	if len(keys.Handovers()) == 0 {
		return key, keys, nil
	}
	if key, err = handOver(dir, key, keys, nil); err != nil {
		return nil, nil, fmt.Errorf("handing the logs over to %s: %w", keys.Current().Name(), err)
	}
	return key, keys, nil
}

// Rotate hands over the logs of a folder on which nothing runs to a new key, in
// the name of an actor. Both keys sign how far each log is, and the old key is
// then deleted; the trees continue. After a crash at any step, either nothing has
// happened, or [EnsureKeys] completes it.
func (f *Folder) Rotate(actor string, now time.Time) (*tlog.Succession, error) {
	return rotate(f.dir, actor, now, nil)
}

// RotateApart does the same as [Folder.Rotate] for the folder of a keeper whose
// streams are elsewhere. Its database learns the new key at the keeper's next
// start.
func RotateApart(dir, who, actor string, now time.Time) (keys *tlog.Succession, err error) {
	if _, err := ReadPublicKey(dir); err != nil {
		return nil, err
	}
	lock, err := Hold(dir, who)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return rotate(dir, actor, now, nil)
}

func rotate(dir, actor string, now time.Time, fault durable.Fault) (*tlog.Succession, error) {
	old, keys, err := EnsureKeys(dir)
	if err != nil {
		return nil, err
	}
	next, err := newKey()
	if err != nil {
		return nil, err
	}
	h := tlog.Handover{
		Installation: keys.Installation(), Number: uint64(len(keys.Handovers()) + 1),
		Old: old.Public(), New: next.Public(), At: now.UTC().Truncate(time.Second), Actor: actor,
	}
	entries, err := os.ReadDir(filepath.Join(dir, "tlog"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("rotating the log key: %w", err)
	}
	for _, e := range entries { // in ascending order, which handovers require
		log, err := tiles.Open(filepath.Join(dir, "tlog", e.Name()), keys.Origin(e.Name()), old)
		if err != nil {
			return nil, fmt.Errorf("rotating the log key: %w", err)
		}
		c := log.Published()
		h.Logs = append(h.Logs, tlog.Signed{Log: e.Name(), Size: c.Size, Root: c.Root})
	}
	signed, err := h.Sign(old, next)
	if err != nil {
		return nil, fmt.Errorf("rotating the log key: %w", err)
	}
	notes := append(keys.Notes(), signed)
	if keys, err = tlog.NewSuccession(next.Public(), notes...); err != nil {
		return nil, fmt.Errorf("rotating the log key: %w", err)
	}
	texts := make([]string, len(notes))
	for i := range notes {
		texts[i] = string(notes[i])
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.Replace(nextKeyFile(dir), []byte(next.Private()+"\n"), 0o600, fault); err != nil {
		return nil, fmt.Errorf("writing the next log key: %w", err)
	}
	// Writing this file decides the rotation.
	if err := durable.Replace(HandoversFile(dir), append(data, '\n'), 0o644, fault); err != nil {
		return nil, fmt.Errorf("writing the handovers of the log key: %w", err)
	}
	if _, err := handOver(dir, old, keys, fault); err != nil {
		return nil, fmt.Errorf("handing the logs over to %s: %w", next.Name(), err)
	}
	return keys, nil
}

// handOver does the steps after the last handover that were not done yet: the new
// key signs what the old one had signed, and becomes the key.
func handOver(dir string, key *tlog.Key, keys *tlog.Succession, fault durable.Fault) (*tlog.Key, error) {
	h := keys.Handovers()[len(keys.Handovers())-1]
	done := key.Public().String() == h.New.String()
	if !done {
		if key.Public().String() != h.Old.String() {
			return nil, errOtherKey
		}
		text, err := os.ReadFile(nextKeyFile(dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNextKey
		}
		if err != nil {
			return nil, err
		}
		if key, err = tlog.ParseKey(string(text)); err != nil {
			return nil, err
		}
		if key.Public().String() != h.New.String() {
			return nil, errNextKey
		}
	}
	for _, l := range h.Logs {
		if err := resign(dir, l, key, keys, fault); err != nil {
			return nil, fmt.Errorf("log %s: %w", l.Log, err)
		}
	}
	if done { // A crash may have left a file that already is the key.
		if err := os.Remove(nextKeyFile(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return key, nil
	}
	if err := durable.Replace(PublicKeyFile(dir), []byte(h.New.String()+"\n"), 0o644, fault); err != nil {
		return nil, err
	}
	if err := durable.Replace(PrivateKeyFile(dir), []byte(key.Private()+"\n"), 0o600, fault); err != nil {
		return nil, err
	}
	return key, os.Remove(nextKeyFile(dir))
}

// resign lets the new key sign the tree that it took over, if the old key's
// signature is the last one. The second copy of the checkpoint is written again
// too, because the handover itself says that nothing larger was signed.
func resign(dir string, l tlog.Signed, key *tlog.Key, keys *tlog.Succession, fault durable.Fault) error {
	file := filepath.Join(dir, "tlog", l.Log, "checkpoint")
	signed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c, _, by, err := keys.Open(signed, l.Log)
	if err != nil {
		return err
	}
	if by.String() == key.Public().String() {
		return nil
	}
	if c.Size != l.Size || c.Root != l.Root {
		return errGone
	}
	if signed, err = c.Sign(key); err != nil {
		return err
	}
	remembered := filepath.Join(dir, "archive", l.Log+".checkpoint")
	if _, err := os.Stat(remembered); err == nil {
		if err := durable.Replace(remembered, signed, 0o600, fault); err != nil {
			return err
		}
	}
	return durable.Replace(file, signed, 0o644, fault)
}
