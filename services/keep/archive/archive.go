// Package archive keeps a second copy of a stream's messages outside the message
// broker, so that messages that the broker loses or alters can be named and
// restored.
//
// The method: a folder holds one stream in files of 1,000 positions. A message is
// written once, after its predecessor, with checksums of its own. A log's
// checkpoint covers a message only after [Archive.Sync] has returned.
//
// # Invariants
//
//   - Append only: what was synced is never written again.
//   - Ordered: a record's position is its predecessor's plus one.
//   - Torn, not lost: opening removes only what a crash left half-written after
//     the last position known to be synced.
//   - Self-checking: [Reader] detects every flipped bit in a record.
//
// # Bytes
//
// A file is named by its first position in twelve decimal digits and ".arc":
// 000000000001.arc holds positions 1 to 1,000. It begins with
//
//	"aliquot archive 1\n"
//	text                 the stream's name
//	uvarint              first position of the file
//	4 bytes              CRC-32C of all that, little endian
//
// and continues with records:
//
//	4 bytes              length of the body, little endian
//	4 bytes              CRC-32C of the body, little endian
//	body:
//	  uvarint            position
//	  varint             when the broker stored it, nanoseconds since 1970 (zigzag)
//	  text               subject
//	  text               message id, empty if it has none
//	  32 bytes           SHA-256 of the data
//	  bytes              the data, to the end of the body
//
// Integers are those of encoding/binary's Uvarint and Varint; a text is its
// length in bytes as a uvarint, then its bytes.
package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// PerFile is how many positions a file holds.
const PerFile = 1000

const (
	magic      = "aliquot archive 1\n"
	headBytes  = 8
	maxBody    = 4 << 20 // a stream's message has at most 1 MiB
	maxText    = 4096
	extension  = ".arc"
	bufferSize = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Message is one message of a stream.
type Message struct {
	Position uint64 // from 1
	Time     time.Time
	Subject  string
	ID       string // the broker's message id, empty if there is none
	SHA256   [32]byte
	Data     []byte
}

// Archive is the writer of one folder. One goroutine uses it.
type Archive struct {
	dir    string
	stream string

	last   uint64 // last position written
	first  uint64 // first position of the open file
	file   *os.File
	buffer *bufio.Writer
	body   []byte
	fresh  bool // the folder has a file whose directory entry is not synced
	broken error
}

// Open creates or continues the archive of a stream. Everything up to position
// synced must be whole; a [Fault] says what is not. Records after it that cannot
// be read, which a crash leaves, are removed.
func Open(dir, stream string, synced uint64) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	a := &Archive{dir: dir, stream: stream, buffer: bufio.NewWriterSize(nil, bufferSize)}
	if err := a.open(synced); err != nil {
		return nil, fmt.Errorf("opening archive of %s: %w", stream, err)
	}
	return a, nil
}

func (a *Archive) open(synced uint64) error {
	files, err := list(a.dir)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		if synced > 0 {
			return &Fault{Stream: a.stream, First: 1, Last: synced, Problem: "missing"}
		}
		return nil
	}
	first := files[len(files)-1]
	name := fileName(a.dir, first)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	end, last, err := a.tail(f, first, synced)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if end == 0 {
		// Not even the head of the file was written.
		if err := errors.Join(f.Close(), os.Remove(name)); err != nil {
			return err
		}
		a.last = first - 1
		return nil
	}
	if err := f.Truncate(end); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return errors.Join(err, f.Close())
	}
	a.file, a.first, a.last = f, first, last
	a.buffer.Reset(f)
	return nil
}

// tail finds the end of the last file's whole records.
func (a *Archive) tail(f *os.File, first, synced uint64) (end int64, last uint64, err error) {
	s, err := scan(f, a.stream, first)
	if err != nil {
		if first > synced {
			return 0, first - 1, nil
		}
		return 0, 0, err
	}
	last, end = first-1, s.offset
	for {
		_, err := s.next()
		if errors.Is(err, io.EOF) {
			if last < synced {
				return 0, 0, &Fault{Stream: a.stream, First: last + 1, Last: synced, File: f.Name(), Problem: "missing"}
			}
			return end, last, nil
		}
		if fault := (*Fault)(nil); errors.As(err, &fault) {
			if fault.First > synced {
				return end, last, nil
			}
			return 0, 0, err
		}
		if err != nil {
			return 0, 0, err
		}
		last, end = s.last, s.offset
	}
}

// Last is the last position written, 0 before the first.
func (a *Archive) Last() uint64 { return a.last }

// Append writes the message that follows the last one. It is on disk only after
// [Archive.Sync]. After an error the archive must be opened again.
func (a *Archive) Append(m Message) error {
	if a.broken != nil {
		return a.broken
	}
	if m.Position != a.last+1 {
		return fmt.Errorf("archiving %s: position %d follows %d", a.stream, m.Position, a.last)
	}
	if err := a.append(m); err != nil {
		a.broken = fmt.Errorf("archiving %s at %d: %w", a.stream, m.Position, err)
		return a.broken
	}
	a.last = m.Position
	return nil
}

func (a *Archive) append(m Message) error {
	if a.file == nil || m.Position >= a.first+PerFile {
		if err := a.begin(m.Position); err != nil {
			return err
		}
	}
	b, err := appendRecord(a.body[:0], m)
	if err != nil {
		return err
	}
	a.body = b
	if _, err := a.buffer.Write(b); err != nil {
		return err
	}
	_, err = a.buffer.Write(m.Data)
	return err
}

// appendRecord appends a record without its data, which the caller appends.
func appendRecord(b []byte, m Message) ([]byte, error) {
	begin := len(b)
	b = append(b, make([]byte, headBytes)...)
	b = binary.AppendUvarint(b, m.Position)
	b = binary.AppendVarint(b, m.Time.UnixNano())
	b = appendText(b, m.Subject)
	b = appendText(b, m.ID)
	b = append(b, m.SHA256[:]...)
	body := b[begin+headBytes:]
	sum := crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, m.Data)
	if len(body)+len(m.Data) > maxBody || len(m.Subject) > maxText || len(m.ID) > maxText {
		return b, errors.New("message is too large")
	}
	binary.LittleEndian.PutUint32(b[begin:], uint32(len(body)+len(m.Data)))
	binary.LittleEndian.PutUint32(b[begin+4:], sum)
	return b, nil
}

// begin starts the file of a position, after syncing the file before.
func (a *Archive) begin(position uint64) error {
	if a.file != nil {
		if err := a.flush(); err != nil {
			return err
		}
		if err := a.file.Close(); err != nil {
			return err
		}
		a.file = nil
	}
	f, err := os.OpenFile(fileName(a.dir, position), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	a.file, a.first, a.fresh = f, position, true
	a.buffer.Reset(f)
	_, err = a.buffer.Write(head(a.stream, position))
	return err
}

func (a *Archive) flush() error {
	if err := a.buffer.Flush(); err != nil {
		return err
	}
	if err := a.file.Sync(); err != nil {
		return err
	}
	if a.fresh {
		if err := syncFolder(a.dir); err != nil {
			return err
		}
		a.fresh = false
	}
	return nil
}

// Sync returns when everything appended is on disk.
func (a *Archive) Sync() error {
	if a.broken != nil || a.file == nil {
		return a.broken
	}
	if err := a.flush(); err != nil {
		a.broken = fmt.Errorf("syncing the archive of %s: %w", a.stream, err)
	}
	return a.broken
}

// Close syncs and closes.
func (a *Archive) Close() error {
	err := a.Sync()
	if a.file != nil {
		err = errors.Join(err, a.file.Close())
		a.file = nil
	}
	a.broken = errors.New("archive is closed")
	return err
}

// head returns the first bytes of a file.
func head(stream string, first uint64) []byte {
	b := appendText([]byte(magic), stream)
	b = binary.AppendUvarint(b, first)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func fileName(dir string, position uint64) string {
	first := (position-1)/PerFile*PerFile + 1
	return filepath.Join(dir, fmt.Sprintf("%012d", first)+extension)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
