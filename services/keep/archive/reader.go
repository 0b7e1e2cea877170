package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault says which positions of an archive are missing or damaged.
type Fault struct {
	Stream      string
	First, Last uint64
	File        string // empty if there is none
	Problem     string
}

// Error names the stream and the positions.
func (f *Fault) Error() string {
	at := fmt.Sprintf("position %d", f.First)
	if f.Last > f.First {
		at = fmt.Sprintf("positions %d to %d", f.First, f.Last)
	}
	s := fmt.Sprintf("archive of %s, %s: %s", f.Stream, at, f.Problem)
	if f.File != "" {
		s += " (" + filepath.Base(f.File) + ")"
	}
	return s
}

// Reader reads an archive in order. One goroutine uses it.
type Reader struct {
	dir, stream string
	files       []uint64 // first positions of the files yet to come
	next        uint64   // the position that Next returns next
	to          uint64
	file        *os.File
	scan        *scanner
	held        *Message // a message after a gap, which is reported first
	end         uint64   // last position of the open file
}

// Read begins at position from and ends with position to, or at the end of the
// archive if to is 0. While another process appends, to must be a synced
// position.
func Read(dir, stream string, from, to uint64) (*Reader, error) {
	files, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("reading archive of %s: %w", stream, err)
	}
	r := &Reader{dir: dir, stream: stream, next: max(from, 1), to: to}
	for _, first := range files {
		if first+PerFile > r.next {
			r.files = append(r.files, first)
		}
	}
	return r, nil
}

// Next returns the next message, or io.EOF after the last. Missing or damaged
// positions are returned as a [Fault]; the next call continues after them. If an
// end was given, positions that are missing before it are a fault too.
func (r *Reader) Next() (Message, error) {
	for {
		if r.to > 0 && r.next > r.to {
			return Message{}, io.EOF
		}
		if m := r.held; m != nil {
			r.held, r.next = nil, m.Position+1
			return *m, nil
		}
		if r.scan == nil {
			if len(r.files) == 0 {
				if r.to == 0 {
					return Message{}, io.EOF
				}
				return r.lack(r.to, "missing")
			}
			first := r.files[0]
			if first > r.next {
				return r.lack(first-1, "missing")
			}
			r.files = r.files[1:]
			r.end = first + PerFile - 1
			if err := r.open(first); err != nil {
				if fault := (*Fault)(nil); errors.As(err, &fault) {
					return r.lack(r.end, fault.Problem)
				}
				return Message{}, err
			}
		}
		m, err := r.scan.next()
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			if fault.Last < r.next {
				continue
			}
			return r.lack(fault.Last, fault.Problem)
		}
		if errors.Is(err, io.EOF) {
			if err := r.shut(); err != nil {
				return Message{}, err
			}
			if len(r.files) > 0 && r.next <= r.end {
				return r.lack(r.end, "missing")
			}
			continue
		}
		if err != nil {
			return Message{}, err
		}
		if m.Position < r.next {
			continue
		}
		r.held = &m
	}
}

// lack returns a fault that begins at the next position; the next call continues
// after it.
func (r *Reader) lack(last uint64, problem string) (Message, error) {
	if r.to > 0 {
		last = min(last, r.to)
	}
	f := &Fault{Stream: r.stream, First: r.next, Last: last, Problem: problem}
	if r.file != nil {
		f.File = r.file.Name()
	}
	r.next = last + 1
	return Message{}, f
}

func (r *Reader) open(first uint64) (err error) {
	if r.file, err = os.Open(fileName(r.dir, first)); err != nil {
		return fmt.Errorf("reading archive of %s: %w", r.stream, err)
	}
	if r.scan, err = scan(r.file, r.stream, first); err != nil {
		return errors.Join(err, r.shut())
	}
	return nil
}

func (r *Reader) shut() error {
	r.scan = nil
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// Close ends the reading.
func (r *Reader) Close() error { return r.shut() }

// Last returns the last position of which an archive's folder has a whole record,
// 0 for an empty one.
func Last(dir, stream string) (uint64, error) {
	files, err := list(dir)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	first := files[len(files)-1]
	r, err := Read(dir, stream, first, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	last := first - 1
	for {
		m, err := r.Next()
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return 0, err
		}
		last = m.Position
	}
}

// searched is how many bytes are searched at a time for a record after damage: a
// whole record fits after each of them.
const searched = maxBody + headBytes

// scanner reads one file's records.
type scanner struct {
	from   io.ReadSeeker
	in     *bufio.Reader // reads from
	file   string
	stream string
	last   uint64 // position of the previous record
	end    uint64 // last position of the file
	offset int64  // end of the previous record
	lost   bool   // nothing whole follows
}

// scan reads the head of a file.
func scan(f io.ReadSeeker, stream string, first uint64) (*scanner, error) {
	name := ""
	if n, ok := f.(interface{ Name() string }); ok {
		name = n.Name()
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	s := &scanner{from: f, in: bufio.NewReaderSize(f, bufferSize), file: name, stream: stream, last: first - 1, end: first + PerFile - 1}
	want := head(stream, first)
	have := make([]byte, len(want))
	if _, err := io.ReadFull(s.in, have); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if !bytes.Equal(want, have) {
		return nil, &Fault{Stream: stream, First: first, Last: s.end, File: name, Problem: "the file's head is damaged"}
	}
	s.offset = int64(len(want))
	return s, nil
}

// next returns the next record. A fault covers the positions that cannot be read
// up to the next record that can; the next call returns that record.
func (s *scanner) next() (Message, error) {
	if s.lost {
		return Message{}, io.EOF
	}
	var h [headBytes]byte
	switch _, err := io.ReadFull(s.in, h[:]); {
	case err == io.EOF:
		return Message{}, io.EOF
	case err == io.ErrUnexpectedEOF:
		return s.damaged("record is truncated")
	case err != nil:
		return Message{}, err
	}
	size := binary.LittleEndian.Uint32(h[:])
	if size > maxBody {
		return s.damaged("record's length is damaged")
	}
	body := make([]byte, size)
	switch _, err := io.ReadFull(s.in, body); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return s.damaged("record is truncated")
	case err != nil:
		return Message{}, err
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(h[4:]) {
		return s.damaged("record does not match its checksum")
	}
	m, err := decode(body)
	if err != nil {
		return s.damaged(err.Error())
	}
	if m.Position != s.last+1 {
		return s.damaged(fmt.Sprintf("position %d follows %d", m.Position, s.last))
	}
	s.last, s.offset = m.Position, s.offset+headBytes+int64(size)
	return m, nil
}

// damaged finds the next whole record after the previous one, and continues
// there.
func (s *scanner) damaged(problem string) (Message, error) {
	fault := &Fault{Stream: s.stream, First: s.last + 1, File: s.file, Problem: problem}
	for base := s.offset; ; base += searched {
		if _, err := s.from.Seek(base, io.SeekStart); err != nil {
			return Message{}, err
		}
		window, err := io.ReadAll(io.LimitReader(s.from, 2*searched))
		if err != nil {
			return Message{}, err
		}
		for skip := 0; skip < min(len(window), searched); skip++ {
			m, ok := record(window[skip:])
			if !ok || m.Position <= s.last || m.Position > s.end {
				continue
			}
			s.offset = base + int64(skip)
			if _, err := s.from.Seek(s.offset, io.SeekStart); err != nil {
				return Message{}, err
			}
			s.in.Reset(s.from)
			fault.Last = max(m.Position-1, fault.First)
			s.last = m.Position - 1
			return Message{}, fault
		}
		if len(window) < 2*searched {
			break
		}
	}
	// Nothing follows, so the number of lost positions is unknown.
	fault.Last = fault.First
	s.lost = true
	return Message{}, fault
}

// record reads one whole record at the beginning of b.
func record(b []byte) (m Message, ok bool) {
	if len(b) < headBytes {
		return m, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n < 36 || n > maxBody || int(n) > len(b)-headBytes {
		return m, false
	}
	body := b[headBytes : headBytes+int(n)]
	// The position is checked first: computing checksums at every offset would
	// take hours.
	if position, used := binary.Uvarint(body); used <= 0 || position == 0 || position > 1<<62 {
		return m, false
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return m, false
	}
	m, err := decode(body)
	return m, err == nil
}

// decode reads a body whose checksum is right; its data shares the body's memory.
func decode(body []byte) (m Message, err error) {
	d := body
	uvarint := func() uint64 {
		v, n := binary.Uvarint(d)
		if n <= 0 {
			err, d = errors.New("record is too short"), nil
			return 0
		}
		d = d[n:]
		return v
	}
	text := func() string {
		n := uvarint()
		if n > maxText || n > uint64(len(d)) {
			err, d = errors.New("record has a text that is too long"), nil
			return ""
		}
		s := string(d[:n])
		d = d[n:]
		return s
	}
	m.Position = uvarint()
	stored := uvarint()
	nanoseconds := int64(stored >> 1)
	if stored&1 != 0 {
		nanoseconds = ^nanoseconds
	}
	m.Time = time.Unix(0, nanoseconds).UTC()
	m.Subject, m.ID = text(), text()
	if err == nil && len(d) < len(m.SHA256) {
		err = errors.New("record is too short")
	}
	if err != nil {
		return Message{}, err
	}
	m.Data = d[copy(m.SHA256[:], d):]
	return m, nil
}

// Intact reports whether the data has the recorded SHA-256.
func (m Message) Intact() bool { return sha256.Sum256(m.Data) == m.SHA256 }

// list returns the first positions of the files, ascending. An absent folder has
// no files.
func list(dir string) (files []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), extension)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || first == 0 || (first-1)%PerFile != 0 {
			return nil, fmt.Errorf("%s is not a file of an archive", e.Name())
		}
		files = append(files, first)
	}
	slices.Sort(files)
	return files, nil
}
