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

// ReadText reverses what a report's CSV does to a text beyond the quoting of RFC
// 4180, which the CSV reader has already removed.
func ReadText(s string) string {
	if s != "" && s[0] == '\'' {
		s = s[1:]
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b = append(b, s[i])
			continue
		}
		if s[i+1] == 'x' && i+3 < len(s) {
			b = append(b, unhex(s[i+2])<<4|unhex(s[i+3]))
			i += 3
			continue
		}
		b = append(b, s[i+1])
		i++
	}
	return string(b)
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
