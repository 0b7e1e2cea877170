package export

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sortBytes is how many bytes are sorted in memory before they are written to
// disk.
const sortBytes = 16 << 20

// mergeWidth is how many sorted runs are merged at once.
const mergeWidth = 64

// sorter sorts records by their keys in limited memory. Records with equal keys
// keep their order. Runs that do not fit into memory are sorted into a temporary
// file. The zero value is ready; it must be closed.
type sorter struct {
	most  int // bytes in memory; 0 means sortBytes
	held  []record
	bytes int
	file  *os.File
	runs  []extent
	end   int64
}

type record struct{ key, value []byte }

// extent is a sorted run in the file.
type extent struct{ from, to int64 }

func (s *sorter) add(key, value []byte) error {
	room := make([]byte, 0, len(key)+len(value))
	room = append(append(room, key...), value...)
	s.held = append(s.held, record{room[:len(key):len(key)], room[len(key):]})
	most := s.most
	if most == 0 {
		most = sortBytes
	}
	if s.bytes += len(room) + 64; s.bytes < most {
		return nil
	}
	return s.spill()
}

func (s *sorter) order() {
	slices.SortStableFunc(s.held, func(a, b record) int { return bytes.Compare(a.key, b.key) })
}

// spill writes the records in memory to disk as one more run.
func (s *sorter) spill() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "aliquot-export-*"); err != nil {
			return fmt.Errorf("sorting on disk: %w", err)
		}
		// Nobody else opens the file, and a process that dies leaves nothing
		// behind.
		_ = os.Remove(s.file.Name())
	}
	s.order()
	from := s.end
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, from), bufferSize)
	for _, r := range s.held {
		if err := s.write(out, r); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sorting on disk: %w", err)
	}
	s.runs = append(s.runs, extent{from, s.end})
	clear(s.held)
	s.held, s.bytes = s.held[:0], 0
	if len(s.runs) >= 2*mergeWidth {
		return s.fold()
	}
	return nil
}

func (s *sorter) write(out *bufio.Writer, r record) error {
	var head [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(r.key)))
	n += binary.PutUvarint(head[n:], uint64(len(r.value)))
	for _, part := range [][]byte{head[:n], r.key, r.value} {
		if _, err := out.Write(part); err != nil {
			return fmt.Errorf("sorting on disk: %w", err)
		}
		s.end += int64(len(part))
	}
	return nil
}

// fold merges the oldest runs into one at the end of the file, so that at most
// mergeWidth runs are read at once.
func (s *sorter) fold() error {
	from := s.end
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, from), bufferSize)
	if err := s.merge(s.runs[:mergeWidth], func(r record) error { return s.write(out, r) }); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("sorting on disk: %w", err)
	}
	// The merged run is first, so that equal keys keep their order.
	s.runs = append([]extent{{from, s.end}}, s.runs[mergeWidth:]...)
	return nil
}

// each calls f for every record in order. Key and value are only valid during the
// call.
func (s *sorter) each(f func(key, value []byte) error) error {
	if s.file == nil {
		s.order()
		for _, r := range s.held {
			if err := f(r.key, r.value); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	return s.merge(s.runs, func(r record) error { return f(r.key, r.value) })
}

func (s *sorter) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	*s = sorter{}
}

// head is the next record of a run.
type head struct {
	record
	run int
	in  *bufio.Reader
}

type heads []*head

func (h heads) Len() int { return len(h) }
func (h heads) Less(i, j int) bool {
	if c := bytes.Compare(h[i].key, h[j].key); c != 0 {
		return c < 0
	}
	return h[i].run < h[j].run
}
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)   { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func (s *sorter) merge(runs []extent, f func(record) error) error {
	var all heads
	for i, e := range runs {
		h := &head{run: i, in: bufio.NewReaderSize(io.NewSectionReader(s.file, e.from, e.to-e.from), bufferSize)}
		if more, err := h.next(); err != nil {
			return err
		} else if more {
			all = append(all, h)
		}
	}
	heap.Init(&all)
	for len(all) > 0 {
		h := all[0]
		if err := f(h.record); err != nil {
			return err
		}
		more, err := h.next()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&all, 0)
		} else {
			heap.Pop(&all)
		}
	}
	return nil
}

// next reads the next record into the memory of the previous one.
func (h *head) next() (bool, error) {
	k, err := binary.ReadUvarint(h.in)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sorting on disk: %w", err)
	}
	v, err := binary.ReadUvarint(h.in)
	if err != nil {
		return false, fmt.Errorf("sorting on disk: %w", err)
	}
	room := slices.Grow(h.key[:0], int(k+v))[:k+v]
	if _, err := io.ReadFull(h.in, room); err != nil {
		return false, fmt.Errorf("sorting on disk: %w", err)
	}
	h.key, h.value = room[:k], room[k:]
	return true, nil
}
