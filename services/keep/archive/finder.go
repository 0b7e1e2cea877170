package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
)

// keptIndexes is for how many files a [Finder] remembers where the records are: 8
// KB each.
const keptIndexes = 64

// Finder reads single messages of an archive whose files are no longer written.
// Several goroutines may use it.
type Finder struct {
	dir, stream string

	mu      sync.Mutex         // guards what follows
	places  map[uint64][]int64 // by a file's first position: where its records begin
	recents []uint64           // files in places, the one used last at the end
}

// NewFinder returns a finder in the archive of a stream.
func NewFinder(dir, stream string) *Finder {
	return &Finder{dir: dir, stream: stream, places: map[uint64][]int64{}}
}

// Get returns the message at a position. A [Fault] says that it is missing or
// damaged.
func (f *Finder) Get(position uint64) (Message, error) {
	if position == 0 {
		return Message{}, &Fault{Stream: f.stream, Problem: "there is no position 0"}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m, err := f.get(position)
	if err == nil {
		return m, nil
	}
	// Earlier damage hides where the record is; the reader finds records after
	// damage.
	r, err := Read(f.dir, f.stream, position, position)
	if err != nil {
		return Message{}, err
	}
	m, err = r.Next()
	return m, errors.Join(err, r.Close())
}

var errElsewhere = errors.New("the record is not where it should be")

func (f *Finder) get(position uint64) (m Message, err error) {
	name := fileName(f.dir, position)
	file, err := os.Open(name)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	first := (position-1)/PerFile*PerFile + 1
	places, err := f.index(file, first)
	if err != nil {
		return m, err
	}
	at := int(position - first)
	if at >= len(places) {
		return m, errElsewhere
	}
	var h [headBytes]byte
	if _, err := file.ReadAt(h[:], places[at]); err != nil {
		return m, err
	}
	size := binary.LittleEndian.Uint32(h[:])
	if size > maxBody {
		return m, errElsewhere
	}
	body := make([]byte, size)
	if _, err := file.ReadAt(body, places[at]+headBytes); err != nil {
		return m, err
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(h[4:]) {
		return m, errElsewhere
	}
	if m, err = decode(body); err == nil && m.Position != position {
		err = errElsewhere
	}
	return m, err
}

// index returns where the records of a file begin, as far as the lengths before
// them allow.
func (f *Finder) index(file *os.File, first uint64) ([]int64, error) {
	if places, ok := f.places[first]; ok {
		f.recents = append(slices.DeleteFunc(f.recents, func(k uint64) bool { return k == first }), first)
		return places, nil
	}
	want := head(f.stream, first)
	have := make([]byte, len(want))
	if _, err := file.ReadAt(have, 0); err != nil || !slices.Equal(want, have) {
		return nil, errors.Join(err, errElsewhere)
	}
	var places []int64
	for at := int64(len(want)); len(places) < PerFile; {
		var h [headBytes]byte
		if _, err := file.ReadAt(h[:], at); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading archive of %s: %w", f.stream, err)
		}
		size := binary.LittleEndian.Uint32(h[:])
		if size > maxBody {
			break
		}
		places = append(places, at)
		at += headBytes + int64(size)
	}
	if len(f.recents) == keptIndexes {
		delete(f.places, f.recents[0])
		f.recents = f.recents[1:]
	}
	f.places[first] = places
	f.recents = append(f.recents, first)
	return places, nil
}
