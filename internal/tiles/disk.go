package tiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const checkpointName = "checkpoint"

// disk is the folder of a log. The files that it writes are synced; settle syncs
// the folders that changed.
type disk struct {
	dir   string
	dirty []string // folders with new names, ascending
	// fault, in tests, is called before each operation that changes the disk.
	fault func(operation, path string, data []byte) error
}

func (d *disk) ask(operation, path string, data []byte) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(operation, path, data)
}

// write writes a file that no checkpoint covers.
func (d *disk) write(path string, data []byte) error {
	path = filepath.Join(d.dir, filepath.FromSlash(path))
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := d.ask("write", path, data); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		if err = d.ask("sync", path, nil); err == nil {
			err = f.Sync()
		}
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	d.changed(filepath.Dir(path))
	return err
}

// replace replaces the content of a file: a reader sees the old or the new
// content, also after a crash.
func (d *disk) replace(path string, data []byte) error {
	next := path + ".next"
	if err := d.write(next, data); err != nil {
		return err
	}
	target := filepath.Join(d.dir, path)
	if err := d.ask("rename", target, nil); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(d.dir, next), target); err != nil {
		return err
	}
	return d.settle()
}

// settle syncs the folders that have new names.
func (d *disk) settle() error {
	for _, dir := range d.dirty {
		if err := d.ask("sync", dir, nil); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	d.dirty = d.dirty[:0]
	return nil
}

// makeDir makes a folder below the log, and those above it.
func (d *disk) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := d.makeDir(parent); err != nil {
		return err
	}
	if err := d.ask("mkdir", dir, nil); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	d.changed(parent)
	return nil
}

// remove removes a folder of partial tiles whose full tile exists.
func (d *disk) remove(path string) error {
	path = filepath.Join(d.dir, filepath.FromSlash(path))
	if err := d.ask("remove", path, nil); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

func (d *disk) changed(dir string) {
	if at, found := slices.BinarySearch(d.dirty, dir); !found {
		d.dirty = slices.Insert(d.dirty, at, dir)
	}
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
