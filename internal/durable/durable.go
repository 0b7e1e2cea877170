// Package durable replaces small files atomically: keys, checkpoints and what a
// witness has seen.
//
// The method: the bytes are written to a second file beside the first, which is
// synced and then renamed over it, and then the folder is synced.
//
// # Invariants
//
//   - A reader sees the old bytes or the new ones, also after a crash.
//   - Permanent: when the call has returned, both the bytes and the name are on
//     the disk.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Fault is called before each step of a replacement (make, write, sync, rename,
// sync folder). An error stops the replacement there, as a crash would. A nil
// Fault is not called.
type Fault func(step, path string) error

func (f Fault) at(step, path string) error {
	if f == nil {
		return nil
	}
	return f(step, path)
}

// Replace replaces the content of a file. Its folder must exist.
func Replace(name string, data []byte, mode fs.FileMode, fault Fault) error {
	next := name + ".new"
	if err := fault.at("make", next); err != nil {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if err = fault.at("write", next); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = fault.at("sync", next)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fault.at("rename", name); err != nil {
		return err
	}
	if err := os.Rename(next, name); err != nil {
		return err
	}
	dir := filepath.Dir(name)
	if err := fault.at("sync folder", dir); err != nil {
		return err
	}
	return SyncFolder(dir)
}

// MakeFolder makes a folder and the missing folders above it, and syncs each of
// them into its parent.
func MakeFolder(dir string, mode fs.FileMode) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MakeFolder(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncFolder(parent)
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
