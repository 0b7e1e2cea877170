package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Rewrite writes the file that begins at position first again, from the messages
// that next returns until io.EOF, in order and from first on. The old file is
// moved below the folder aside; if anything fails, it stays where it is. Nobody
// else may use the archive meanwhile.
func Rewrite(dir, stream string, first uint64, aside string, next func() (Message, error)) error {
	if err := rewrite(dir, stream, first, aside, next); err != nil {
		return fmt.Errorf("writing the archive of %s again from %d: %w", stream, first, err)
	}
	return nil
}

func rewrite(dir, stream string, first uint64, aside string, next func() (Message, error)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := fileName(dir, first)
	if err := write(name+".new", stream, first, next); err != nil {
		return err
	}
	err := os.MkdirAll(aside, 0o700)
	if err == nil {
		err = os.Rename(name, filepath.Join(aside, filepath.Base(name)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(dir)
}

func write(name, stream string, first uint64, next func() (Message, error)) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, bufferSize)
	if _, err := out.Write(head(stream, first)); err != nil {
		return err
	}
	var scratch []byte
	for position := first; ; position++ {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return errors.Join(out.Flush(), f.Sync())
		}
		if err != nil {
			return err
		}
		if m.Position != position || position >= first+PerFile {
			return fmt.Errorf("position %d instead of %d", m.Position, position)
		}
		if scratch, err = appendRecord(scratch[:0], m); err != nil {
			return err
		}
		if _, err := out.Write(scratch); err != nil {
			return err
		}
		if _, err := out.Write(m.Data); err != nil {
			return err
		}
	}
}
