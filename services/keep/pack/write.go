package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// Packed says what [Write] packs.
type Packed struct {
	Dir     string // the installation's folder; services may be running on it
	Streams []string
	Key     keeper.Verifier
	KeyText string // the text of the key file
	// State is what the installation has derived; nil leaves it out. Its streams
	// must be signed up to its positions.
	State *settlement.State
	Made  time.Time
}

// Write packs into a new folder, or into one tar file if the name ends in .tar.
// If the name already exists, it fails.
func Write(in Packed, name string) (manifest *Manifest, err error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, fmt.Errorf("packing into %s: it already exists", name)
	}
	temporary := name + ".new"
	if err := os.RemoveAll(temporary); err != nil {
		return nil, fmt.Errorf("packing into %s: %w", name, err)
	}
	var to sink = folder{temporary, true}
	if strings.HasSuffix(name, ".tar") {
		to, err = newTar(temporary, in.Made)
	}
	if err == nil {
		if manifest, err = write(in, to); err == nil {
			err = to.close()
		} else {
			err = errors.Join(err, to.close())
		}
	}
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(name))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("packing into %s: %w", name, err), os.RemoveAll(temporary))
	}
	return manifest, nil
}

// sink receives files by their path in a pack.
type sink interface {
	add(path string, size int64, from io.Reader) error
	close() error
}

func write(in Packed, to sink) (*Manifest, error) {
	m := &Manifest{Format: 1, Made: in.Made.UTC(), Key: strings.TrimSuffix(in.KeyText, "\n"), State: in.State}
	put := func(path string, data []byte) error { return to.add(path, int64(len(data)), bytes.NewReader(data)) }
	for _, name := range in.Streams {
		log, err := tiles.OpenReader(keeper.LogDir(in.Dir, name), in.Key.Origin(keeper.LogName(name)), in.Key)
		if err != nil {
			return nil, err
		}
		c, signed, err := log.Checkpoint()
		if err != nil {
			return nil, err
		}
		below := path.Join("tlog", keeper.LogName(name))
		err = log.Files(c.Size, func(file string, data []byte) error { return put(path.Join(below, file), data) })
		if err == nil {
			err = put(path.Join(below, "checkpoint"), signed)
		}
		if err == nil {
			err = copies(in.Dir, name, c.Size, to)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.Streams = append(m.Streams, Extent{name, c.Size, c.Root.String()})
	}
	if err := put(keyName, []byte(m.Key+"\n")); err != nil {
		return nil, err
	}
	handovers, err := os.ReadFile(keeper.HandoversFile(in.Dir))
	if err == nil {
		err = put(handoversName, handovers)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, put(manifestName, append(text, '\n'))
}

// copies packs the files of a stream's archive up to what its log has signed.
func copies(dir, name string, last uint64, to sink) error {
	from := keeper.ArchiveDir(dir, name)
	files, err := archive.Files(from, name, last)
	if err != nil {
		return err
	}
	for _, f := range files {
		file, err := os.Open(filepath.Join(from, f.Name))
		if err != nil {
			return err
		}
		err = to.add(path.Join("archive", keeper.LogName(name), f.Name), f.Bytes, io.LimitReader(file, f.Bytes))
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// folder is a pack as a folder.
type folder struct {
	dir     string
	durable bool // files are synced
}

func (f folder) add(name string, size int64, from io.Reader) error {
	name = filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	written, err := io.Copy(file, from)
	if err == nil && written != size {
		err = fmt.Errorf("%s has %d bytes, not %d", name, written, size)
	}
	if err == nil && f.durable {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// close syncs the directory entries of every folder; the files are already
// synced.
func (f folder) close() error {
	return filepath.WalkDir(f.dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncFolder(name)
	})
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// file is a pack as one tar file.
type file struct {
	out    *os.File
	buffer *bufio.Writer
	tar    *tar.Writer
	made   time.Time
}

func newTar(name string, made time.Time) (sink, error) {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	f := &file{out: out, buffer: bufio.NewWriterSize(out, 1<<20), made: made}
	f.tar = tar.NewWriter(f.buffer)
	return f, nil
}

func (f *file) add(name string, size int64, from io.Reader) error {
	if err := f.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: f.made.Truncate(time.Second)}); err != nil {
		return err
	}
	_, err := io.Copy(f.tar, from)
	return err
}

func (f *file) close() error {
	return errors.Join(f.tar.Close(), f.buffer.Flush(), f.out.Sync(), f.out.Close())
}
