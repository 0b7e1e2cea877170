package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is a file of an archive, and how much of it is to be copied.
type File struct {
	Name  string // in the archive's folder
	Bytes int64  // from its beginning; a writer may have written more
}

// Files lists the files that hold positions 1 to last, which must be synced, and
// how much of the last file holds them. A [Fault] says what is missing. Whether
// the content is whole is only known by reading it.
func Files(dir, stream string, last uint64) (list []File, err error) {
	if last == 0 {
		return nil, nil
	}
	finder := NewFinder(dir, stream)
	for first := uint64(1); first <= last; first += PerFile {
		name := fileName(dir, first)
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, &Fault{Stream: stream, First: first, Last: min(first+PerFile-1, last), Problem: "missing"}
		}
		if err != nil {
			return nil, fmt.Errorf("listing the archive of %s: %w", stream, err)
		}
		f := File{filepath.Base(name), info.Size()}
		if last < first+PerFile-1 {
			if f.Bytes, err = finder.behind(name, first, last, f.Bytes); err != nil {
				return nil, err
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// behind returns where the record of a position ends, or the end of the file if
// damage hides it.
func (f *Finder) behind(name string, first, position uint64, end int64) (at int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("listing the archive of %s: %w", f.stream, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	places, err := f.index(file, first)
	if errors.Is(err, errElsewhere) {
		return end, nil
	}
	if next := position - first + 1; err == nil && next < uint64(len(places)) {
		return places[next], nil
	}
	return end, err
}
