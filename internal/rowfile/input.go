package rowfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of a zstd file, in bytes, which is how much its
// reader must remember: as much as `zstd --long=27` uses.
const maxWindow = 128 << 20

// input is a file as text.
type input struct {
	file  *os.File
	from  io.Reader
	count int64 // bytes read from from
	text  *bufio.Reader
	zstd  *zstd.Decoder
}

// Read reads the file and counts the bytes.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.from.Read(p)
	in.count += int64(n)
	return n, err
}

func (in *input) release() {
	if in.zstd != nil {
		in.zstd.Close()
	}
}

// open recognises compression and encoding by the first bytes.
func open(from io.Reader) (*input, error) {
	in := &input{from: from}
	in.text = bufio.NewReaderSize(in, 1<<16)
	first, err := in.peek()
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(first, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(in.text)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		in.text = bufio.NewReaderSize(named{unpacked, "gzip"}, 1<<16)
	case bytes.HasPrefix(first, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		in.zstd, err = zstd.NewReader(in.text, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("reading zstd: %w", err)
		}
		in.text = bufio.NewReaderSize(named{in.zstd, "zstd"}, 1<<16)
	}
	if first, err = in.peek(); err == nil {
		err = foreign(first)
	}
	if err != nil {
		in.release()
		return nil, err
	}
	if bytes.HasPrefix(first, []byte("\uFEFF")) {
		_, err = in.text.Discard(3)
	}
	return in, err
}

// Text reads a file that need not be one of rows: decompressed, without a byte
// order mark. It fails if the file is not UTF-8 text, and says what it seems to
// be instead. Close releases the decompressor; from stays open.
func Text(from io.Reader) (io.ReadCloser, error) {
	in, err := open(from)
	if err != nil {
		return nil, err
	}
	return text{in.text, in}, nil
}

type text struct {
	io.Reader
	in *input
}

func (t text) Close() error {
	t.in.release()
	return nil
}

// peek returns the first bytes, or fewer if the file is shorter.
func (in *input) peek() ([]byte, error) {
	first, err := in.text.Peek(8)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first, err
}

// character returns the first character that is not white space among the first 4
// KiB, or 0 if there is none. It consumes nothing.
func (in *input) character() byte {
	first, _ := in.text.Peek(4 << 10) // Reading on will report the error.
	if first = bytes.TrimLeft(first, " \t\r\n"); len(first) > 0 {
		return first[0]
	}
	return 0
}

// named adds to errors what was being decompressed. A file that ends in the
// middle is not a complete file.
type named struct {
	from io.Reader
	what string
}

func (n named) Read(p []byte) (int, error) {
	k, err := n.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading %s: %w", n.what, err)
	}
	return k, err
}

// foreign says what a file is that is not UTF-8 text.
func foreign(first []byte) error {
	for _, f := range []struct{ begins, is string }{
		{"\xff\xfe\x00\x00", "UTF-32, and has to be UTF-8"},
		{"\x00\x00\xfe\xff", "UTF-32, and has to be UTF-8"},
		{"\xff\xfe", "UTF-16 (little endian), and has to be UTF-8: save it as \"CSV UTF-8\""},
		{"\xfe\xff", "UTF-16 (big endian), and has to be UTF-8: save it as \"CSV UTF-8\""},
		{"PK\x03\x04", "a ZIP archive or a workbook (.xlsx): unpack it, or save the sheet as CSV"},
		{"\xd0\xcf\x11\xe0", "a workbook of Excel 97 (.xls): save the sheet as CSV"},
		{"PAR1", "a Parquet file: export it as CSV or JSON Lines"},
		{"Obj\x01", "an Avro file: export it as CSV or JSON Lines"},
		{"ORC", "an ORC file: export it as CSV or JSON Lines"},
		{"BZh", "packed by bzip2: unpack it, or use gzip or zstd"},
		{"\xfd7zXZ\x00", "packed by xz: unpack it, or use gzip or zstd"},
		{"7z\xbc\xaf", "a 7z archive: unpack it, or use gzip or zstd"},
		{"%PDF", "a PDF file"},
		{"SQLite f", "an SQLite database: export it as CSV or JSON Lines"},
	} {
		if f.is == "an ORC file: export it as CSV or JSON Lines" && (len(first) < 4 || first[3] >= ' ') {
			continue // A text may begin with these letters.
		}
		if bytes.HasPrefix(first, []byte(f.begins)) {
			return fmt.Errorf("the file is %s", f.is)
		}
	}
	if len(first) >= 4 { // In UTF-16 text without a mark, every second byte of the ASCII characters is zero.
		switch {
		case first[0] != 0 && first[1] == 0 && first[2] != 0 && first[3] == 0:
			return errors.New("the file is UTF-16 (little endian), and has to be UTF-8")
		case first[0] == 0 && first[1] != 0 && first[2] == 0 && first[3] != 0:
			return errors.New("the file is UTF-16 (big endian), and has to be UTF-8")
		}
	}
	if bytes.IndexByte(first, 0) >= 0 {
		return errors.New("the file is not text: it begins with zero bytes")
	}
	return nil
}

// lines reads a file line by line and never holds more than MaxRow bytes of a
// line.
type lines struct {
	r     *bufio.Reader
	n     int      // lines read
	head  int      // line of the header; 0 if there is none
	again []string // lines that were read ahead and are returned again, in order
	long  []byte   // for lines that are longer than the buffer
}

// next returns a line without its line end. A line that is too long is read to
// its end and reported as ErrLong.
func (l *lines) next() (string, error) {
	if len(l.again) > 0 {
		s := l.again[0]
		l.again = l.again[1:]
		l.n++
		return s, nil
	}
	chunk, err := l.r.ReadSlice('\n')
	if err == nil {
		l.n++
		return string(withoutEnd(chunk)), nil
	}
	line, long := l.long[:0], false
	for {
		if len(line)+len(chunk) > MaxRow {
			long = true
		} else {
			line = append(line, chunk...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		chunk, err = l.r.ReadSlice('\n')
	}
	l.long = line
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !long) {
		return "", err
	}
	l.n++
	if long {
		return "", ErrLong
	}
	return string(withoutEnd(line)), nil
}

func withoutEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// peek returns the next character that is not white space. It consumes only the
// white space before it.
func (l *lines) peek() (byte, error) {
	for {
		next, err := l.r.Peek(1)
		if err != nil {
			return 0, err
		}
		switch next[0] {
		case '\n':
			l.n++
		case ' ', '\t', '\r':
		default:
			return next[0], nil
		}
		if _, err := l.r.Discard(1); err != nil {
			return 0, err
		}
	}
}
