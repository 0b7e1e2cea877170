package mapping

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
)

// text makes a text of a row: parts one after the other, or the number of a
// hash written into a format.
type text struct {
	parts  []part
	hashed bool
	domain string // the field that asked, so that node and customer of one column differ
	from   []int  // columns
	of     uint64 // 1 to 10⁹
	before string
	width  int // at least so many digits
	after  string

	emptyOK bool   // columns in a template or a hash may be empty
	edits   *edits // nil: none
}

// part is a literal, or a column where that is not -1, or the file's name where it is -2.
type part struct {
	literal string
	column  int
}

const (
	noColumn = -1
	fileName = -2
)

// constant reports whether no row changes the text.
func (t *text) constant() bool {
	if t.hashed {
		return false
	}
	for _, p := range t.parts {
		if p.column >= 0 {
			return false
		}
	}
	return true
}

// text compiles a scalar, which is a template, or one of
// {column: NAME}, {constant: TEXT}, {hash: [NAME, ...], of: N, format: "gpu-%03d"}.
func (c *compiler) text(n *yaml.Node, field string) text {
	if n.Kind == yaml.ScalarNode {
		if s, ok := c.Scalar(n, field); ok {
			return text{parts: c.template(n, field, s, false), emptyOK: c.m.emptyOK}
		}
		return text{}
	}
	m := c.Members(n, field, append([]string{"column", "constant", "text", "hash", "of", "format", "empty"}, editNames...)...)
	emptyOK, edits := c.allowed(m["empty"], document.Join(field, "empty")), c.edits(m, field)
	delete(m, "empty")
	for _, name := range editNames {
		if v := m[name]; v != nil && m["hash"] != nil {
			c.Problem(v, document.Join(field, name), "says nothing about a hash")
		}
		delete(m, name)
	}
	switch {
	case m["text"] != nil && len(m) == 1:
		if s, ok := c.Scalar(m["text"], document.Join(field, "text")); ok {
			return text{parts: c.template(n, field, s, false), emptyOK: emptyOK, edits: edits}
		}
	case m["hash"] != nil && m["column"] == nil && m["constant"] == nil:
		t := c.hash(n, field, m)
		t.emptyOK = emptyOK
		return t
	case m["column"] != nil && len(m) == 1:
		if s, ok := c.Scalar(m["column"], document.Join(field, "column")); ok {
			return text{parts: []part{{column: c.column(n, s)}}, edits: edits}
		}
	case m["constant"] != nil && len(m) == 1:
		if s, ok := c.Scalar(m["constant"], document.Join(field, "constant")); ok {
			return text{parts: []part{{literal: s, column: noColumn}}, edits: edits}
		}
	default:
		c.Problem(n, field, "should be a text, {text: TEXT}, {column: NAME}, {constant: TEXT} or {hash: [NAME], of: N, format: TEXT}")
	}
	return text{}
}

func (c *compiler) sourceText(n *yaml.Node) text {
	s, ok := c.Scalar(n, "source")
	if !ok {
		return text{}
	}
	parts := c.template(n, "source", s, true)
	if len(s) == 0 || len(s) > 256 {
		c.Problem(n, "source", "should have 1 to 256 bytes")
	}
	return text{parts: parts}
}

// template reads "gpu-{column}"; a doubled brace is a brace.
func (c *compiler) template(n *yaml.Node, field, s string, source bool) []part {
	var parts []part
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, part{literal.String(), noColumn})
			literal.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case (s[i] == '{' || s[i] == '}') && i+1 < len(s) && s[i+1] == s[i]:
			literal.WriteByte(s[i])
			i++
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 2 {
				c.Problem(n, field, "a brace is opened and no column named; write {{ for a brace")
				return nil
			}
			name := s[i+1 : i+end]
			flush()
			switch {
			case source && name == "file":
				parts = append(parts, part{column: fileName})
			case source:
				c.Problem(n, field, "a source is one for the whole file: it may have {file} in it and no column")
			default:
				parts = append(parts, part{column: c.column(n, name)})
			}
			i += end
		case s[i] == '}':
			c.Problem(n, field, "a brace is closed and none open; write }} for a brace")
			return nil
		default:
			literal.WriteByte(s[i])
		}
	}
	flush()
	if parts == nil {
		parts = []part{{column: noColumn}}
	}
	return parts
}

func (c *compiler) hash(n *yaml.Node, field string, m map[string]*yaml.Node) text {
	last := field[strings.LastIndexByte(field, '.')+1:]
	t := text{hashed: true, domain: last, after: ""}
	for _, name := range c.list(m["hash"], document.Join(field, "hash")) {
		t.from = append(t.from, c.column(m["hash"], name))
	}
	if v := m["of"]; v == nil {
		c.Problem(n, document.Join(field, "of"), "is missing: of how many")
	} else if s, ok := c.Scalar(v, document.Join(field, "of")); ok {
		of, err := strconv.ParseUint(s, 10, 32)
		if err != nil || of == 0 || of > 1_000_000_000 {
			c.Problem(v, document.Join(field, "of"), "should be a whole number from 1 to 1000000000")
		}
		t.of = of
	}
	if v := m["format"]; v != nil {
		if s, ok := c.Scalar(v, document.Join(field, "format")); ok {
			if t.before, t.width, t.after, ok = verb(s); !ok {
				c.Problem(v, document.Join(field, "format"), "should have one %%d or %%0Nd in it, with N from 1 to 9, and no other %%")
			}
		}
	}
	return t
}

// verb splits "gpu-%03d-x" into what is before, the width, and what is after.
func verb(s string) (before string, width int, after string, ok bool) {
	before, rest, found := strings.Cut(s, "%")
	if !found || strings.Contains(rest, "%") {
		return "", 0, "", false
	}
	if strings.HasPrefix(rest, "d") {
		return before, 0, rest[1:], true
	}
	if len(rest) < 3 || rest[0] != '0' || rest[1] < '1' || rest[1] > '9' || rest[2] != 'd' {
		return "", 0, "", false
	}
	return before, int(rest[1] - '0'), rest[3:], true
}

// make returns the text of a row. An empty cell is no fault where the text is
// that cell alone: the caller knows whether it may be.
func (t *text) make(r *row) (string, *fault) {
	if t.hashed {
		b := appendField(r.scratch[:0], t.domain)
		for _, i := range t.from {
			cell := r.get(i)
			if cell == "" && !t.emptyOK {
				return "", r.empty(i, ", and the text is a hash of it")
			}
			b = appendField(b, cell)
		}
		r.scratch = b
		sum := sha256.Sum256(b)
		n := strconv.FormatUint(binary.BigEndian.Uint64(sum[:])%t.of, 10)
		for len(n) < t.width {
			n = "0" + n
		}
		return t.before + n + t.after, nil
	}
	if len(t.parts) == 1 {
		made := t.parts[0].make(r)
		if t.edits != nil {
			made = t.edits.apply(made)
		}
		return made, nil
	}
	b := r.scratch[:0]
	for i := range t.parts {
		p := &t.parts[i]
		cell := p.make(r)
		if cell == "" && p.column >= 0 && !t.emptyOK {
			return "", r.empty(p.column, ", and it is a part of the text")
		}
		b = append(b, cell...)
	}
	r.scratch = b
	if t.edits != nil {
		return t.edits.apply(string(b)), nil
	}
	return string(b), nil
}

// number returns the text of a row as plain decimal text, if it is a column alone;
// what a map puts together is written with a point.
func (t *text) number(r *row) (string, *fault) {
	if !t.hashed && t.edits == nil && len(t.parts) == 1 && t.parts[0].column >= 0 {
		return r.number(t.parts[0].column)
	}
	return t.make(r)
}

func (p *part) make(r *row) string {
	switch {
	case p.column >= 0:
		return r.get(p.column)
	case p.column == fileName:
		return r.file
	}
	return p.literal
}

// appendField appends a text with its length before it, so that two rows of
// other fields never give the same bytes.
func appendField(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
