package export

import (
	"bufio"
	"encoding/json"
	"io"
)

// jsonSink writes one array of objects whose members are in the order of the
// columns. Decimals and wide numbers are strings, so that no reader makes a float
// of them.
type jsonSink struct {
	out     *bufio.Writer
	names   [][]byte // each with the colon
	scratch []byte
	begun   bool
}

func newJSON(w io.Writer, columns []Column) (*jsonSink, error) {
	s := &jsonSink{out: bufio.NewWriterSize(w, bufferSize)}
	for _, c := range columns {
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		s.names = append(s.names, append(name, ':'))
	}
	_, err := s.out.WriteString("[")
	return s, err
}

func (s *jsonSink) row(cells []cell) error {
	b := s.scratch[:0]
	if s.begun {
		b = append(b, ',')
	}
	s.begun = true
	b = append(b, '\n', '{')
	for i := range cells {
		b = append(comma(b, i), s.names[i]...)
		switch c := &cells[i]; c.kind {
		case 0:
			b = append(b, "null"...)
		case Count, Number, Truth:
			b = c.plain(b)
		case Text:
			quoted, err := json.Marshal(c.text)
			if err != nil {
				return err
			}
			b = append(b, quoted...)
		default:
			b = append(c.plain(append(b, '"')), '"')
		}
	}
	b = append(b, '}')
	s.scratch = b
	_, err := s.out.Write(b)
	return err
}

func (s *jsonSink) close() error {
	if _, err := s.out.WriteString("\n]\n"); err != nil {
		return err
	}
	return s.out.Flush()
}
