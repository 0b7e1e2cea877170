package export

import (
	"bufio"
	"io"
	"unicode"
	"unicode/utf8"
)

// csvSink writes RFC 4180 with line feeds: a header, then one record for each
// row. The package comment says how it escapes hostile text.
type csvSink struct {
	out     *bufio.Writer
	scratch []byte
}

const bufferSize = 64 << 10

func newCSV(w io.Writer, columns []Column) (*csvSink, error) {
	s := &csvSink{out: bufio.NewWriterSize(w, bufferSize)}
	for i, c := range columns {
		s.scratch = append(comma(s.scratch, i), c.Name...)
	}
	_, err := s.out.Write(append(s.scratch, '\n'))
	return s, err
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

func (s *csvSink) row(cells []cell) error {
	b := s.scratch[:0]
	for i := range cells {
		b = comma(b, i)
		if c := &cells[i]; c.kind == Text {
			b = appendText(b, c.text)
		} else {
			b = c.plain(b)
		}
	}
	b = append(b, '\n')
	s.scratch = b
	_, err := s.out.Write(b)
	return err
}

func (s *csvSink) close() error { return s.out.Flush() }

const hexDigits = "0123456789abcdef"

// appendText appends a text in a form that neither a parser nor a spreadsheet
// misinterprets, and from which [ReadText] recovers it.
func appendText(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `""`...) // null is an empty field
	}
	quoted := formula(s[0])
	for i := 0; i < len(s) && !quoted; i++ {
		c := s[i]
		quoted = c == ',' || c == '"' || c == '\\' || c < ' ' || c >= 0x7f
	}
	if !quoted {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	if formula(s[0]) {
		dst = append(dst, '\'')
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch c := s[0]; {
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r) && c != '\n' && c != '\r' && c != '\t':
			for i := range size {
				dst = append(dst, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
			}
		case c == '"', c == '\\':
			dst = append(dst, c, c)
		default:
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return append(dst, '"')
}

// formula reports whether a spreadsheet would compute or drop a text that begins
// with c.
func formula(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r', '\n', '\'':
		return true
	}
	return false
}
