package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Parse compiles a map file, whose name is used in problems only. The error is a
// [document.Problems].
func Parse(name string, data []byte) (*Map, error) {
	c := compiler{Reader: document.New(name, document.Limits{Bytes: MaxMap}), m: &Map{}, index: make(map[string]int)}
	roots := c.Documents(data)
	switch {
	case len(roots) > 1:
		c.Problem(roots[1], "", "a map is one document, and here a second begins")
	case len(roots) == 1:
		c.document(roots[0])
	case c.Err() == nil:
		c.Report(name, 1, 1, "", "the map is empty")
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return c.m, nil
}

// compiler compiles a map, and collects problems instead of stopping.
type compiler struct {
	*document.Reader
	m     *Map
	index map[string]int // column name to its index in m.columns
}

func (c *compiler) yes(n *yaml.Node, field string) bool {
	switch {
	case n == nil:
		return false
	case n.Kind == yaml.ScalarNode && n.Value == "true":
		return true
	case n.Kind == yaml.ScalarNode && n.Value == "false":
		return false
	}
	c.Problem(n, field, "should be true or false")
	return false
}

// list returns the texts of a sequence, or of a scalar as a sequence of one.
func (c *compiler) list(n *yaml.Node, field string) []string {
	items := []*yaml.Node{n}
	if n.Kind != yaml.ScalarNode {
		if items = c.Items(n, field); len(items) == 0 && n.Kind == yaml.SequenceNode {
			c.Problem(n, field, "is an empty list")
		}
	}
	var all []string
	for i, item := range items {
		if s, ok := c.Scalar(item, document.At(field, i)); ok {
			all = append(all, s)
		}
	}
	return all
}

// column returns the index of a column that the map reads.
func (c *compiler) column(n *yaml.Node, name string) int {
	i, ok := c.index[name]
	if !ok {
		i = len(c.m.columns)
		c.index[name] = i
		c.m.columns = append(c.m.columns, column{name: name, line: n.Line})
	}
	return i
}

var eventFields = []string{"node", "customer", "meter", "quantity", "start", "end", "attributes"}

func (c *compiler) document(n *yaml.Node) {
	top := c.Members(n, "", append([]string{
		"format", "separator", "comment", "skip", "columns", "decimal", "thousands", "optional", "empty", "book", "source", "id", "received", "shift", "declare", "where", "events",
	}, eventFields...)...)
	c.file(top)
	if v := top["book"]; v != nil {
		if s, ok := c.Scalar(v, "book"); ok {
			if err := events.CheckName(s); err != nil {
				c.Problem(v, "book", "%v", err)
			}
			c.m.Book = events.Book(s)
		}
	}
	if v := top["source"]; v != nil {
		c.m.source = c.sourceText(v)
	} else {
		c.Problem(n, "source", "is missing: it names who numbers the events, such as \"azure/{file}\"")
	}
	c.identity(n, top["id"])
	if v := top["received"]; v != nil {
		switch s, _ := c.Scalar(v, "received"); s {
		case "event":
			c.m.ReceivedFromEvent = true
		case "now":
		default:
			c.Problem(v, "received", "should be event or now")
		}
	}
	if v := top["shift"]; v != nil {
		if begin := c.Members(v, "shift", "begin")["begin"]; begin == nil {
			c.Problem(v, "shift.begin", "is missing")
		} else if s, ok := c.Scalar(begin, "shift.begin"); ok {
			t, err := ParseBegin(s)
			if err != nil {
				c.Problem(begin, "shift.begin", "%v", err)
			}
			c.m.Begin = t
		}
	}
	if v := top["declare"]; v != nil {
		d := c.Members(v, "declare", "nodes", "customers")
		c.m.DeclareNodes = c.yes(d["nodes"], "declare.nodes")
		c.m.DeclareCustomers = c.yes(d["customers"], "declare.customers")
		if c.m.Book == "" && top["book"] == nil {
			c.Problem(v, "declare", "needs the field book, to which it declares")
		}
	}
	c.m.where = c.conditions(top["where"], "where")
	c.templates(n, top)
	if v := top["optional"]; v != nil {
		c.optional(v)
	}
}

// file reads the fields that say what the file looks like.
func (c *compiler) file(top map[string]*yaml.Node) {
	for _, field := range []struct {
		name string
		into func(f *rowfile.Flags, s string)
	}{
		{"format", func(f *rowfile.Flags, s string) { f.Format = s }},
		{"separator", func(f *rowfile.Flags, s string) { f.Separator = s }},
		{"comment", func(f *rowfile.Flags, s string) { f.Comment = s }},
		{"decimal", func(f *rowfile.Flags, s string) { f.Decimal = s }},
		{"thousands", func(f *rowfile.Flags, s string) {
			if f.Thousands = s; s == "." || s == "point" || s == "dot" {
				f.Decimal = "comma" // Compared below.
			}
		}},
	} {
		v := top[field.name]
		if v == nil {
			continue
		}
		s, ok := c.Scalar(v, field.name)
		if !ok {
			continue
		}
		var f rowfile.Flags // Each on its own, so that each problem has its place.
		field.into(&f, s)
		o, err := f.Options("")
		if err != nil {
			c.Problem(v, field.name, "%s", strings.TrimPrefix(err.Error(), field.name+": "))
		}
		c.m.file.Format = max(c.m.file.Format, o.Format)
		c.m.file.Separator |= o.Separator
		c.m.file.Comment |= o.Comment
		if c.m.file.Thousands |= o.Thousands; field.name == "decimal" {
			c.m.file.Decimal = o.Decimal
		}
	}
	mark := c.m.file.Decimal
	if mark == 0 {
		mark = '.'
	}
	if rune(mark) == c.m.file.Thousands {
		c.Problem(top["thousands"], "thousands", "%q is the decimal mark already", mark)
	}
	if v := top["skip"]; v != nil {
		s, _ := c.Scalar(v, "skip")
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			c.Problem(v, "skip", "should be a number of lines, from 0 to 65535")
		}
		c.m.file.Skip = int(n)
	}
	if v := top["columns"]; v != nil {
		c.m.file.Columns = c.list(v, "columns")
		for i, name := range c.m.file.Columns {
			if slices.Contains(c.m.file.Columns[:i], name) {
				c.Problem(v, fmt.Sprintf("columns[%d]", i), "%q is named twice", name)
			}
		}
	}
	c.m.emptyOK = c.allowed(top["empty"], "empty")
}

// allowed reads `empty: allowed`.
func (c *compiler) allowed(n *yaml.Node, field string) bool {
	if n == nil {
		return c.m.emptyOK
	}
	switch s, _ := c.Scalar(n, field); s {
	case "allowed":
		return true
	case "refused":
	default:
		c.Problem(n, field, "should be allowed or refused")
	}
	return false
}

// optional marks the columns that a file may lack.
func (c *compiler) optional(n *yaml.Node) {
	for i, name := range c.list(n, "optional") {
		at, used := c.index[name]
		if !used {
			c.Problem(n, fmt.Sprintf("optional[%d]", i), "the map does not use a column %q", name)
			continue
		}
		c.m.columns[at].optional = true
	}
}

// ParseBegin reads the instant of a shift, RFC 3339, from 1970 to 2261.
func ParseBegin(s string) (time.Time, error) {
	t, err := events.ParseTime(s)
	if err != nil {
		return time.Time{}, err
	}
	if t.Year() > 2261 {
		return time.Time{}, fmt.Errorf("%s is not between 1970 and 2261", s)
	}
	return t, nil
}

func (c *compiler) identity(root, v *yaml.Node) {
	const choices = "should be row, content, {content: [COLUMN, ...]} or a text with a column in it, such as \"{request_id}\""
	switch {
	case v == nil:
		c.Problem(root, "id", "is missing: %s", choices)
	case v.Kind == yaml.ScalarNode && v.Value == "row":
		c.m.identity = identity{kind: byRow}
	case v.Kind == yaml.ScalarNode && v.Value == "content":
		c.m.identity = identity{kind: byContent}
	case v.Kind == yaml.MappingNode && len(v.Content) > 0 && (v.Content[0].Value == "content" || len(v.Content) == 4 && v.Content[2].Value == "content"):
		m := c.Members(v, "id", "content", "empty")
		c.m.identity = identity{kind: byContent, columns: []int{}, emptyOK: c.allowed(m["empty"], "id.empty")}
		for _, name := range c.list(m["content"], "id.content") {
			c.m.identity.columns = append(c.m.identity.columns, c.column(v, name))
		}
	default:
		t := c.text(v, "id")
		if t.constant() {
			c.Problem(v, "id", choices)
		}
		c.m.identity = identity{kind: byText, text: t}
	}
}

func (c *compiler) templates(root *yaml.Node, top map[string]*yaml.Node) {
	list := []*yaml.Node{nil}
	if v := top["events"]; v != nil {
		if v.Kind != yaml.SequenceNode || len(v.Content) == 0 || len(v.Content) > 64 {
			c.Problem(v, "events", "should be a list of 1 to 64 events")
			return
		}
		if list = c.Items(v, "events"); list == nil {
			return
		}
	}
	for i, n := range list {
		field, at := "", root
		own := map[string]*yaml.Node{}
		if n != nil {
			field, at = fmt.Sprintf("events[%d]", i), n
			own = c.Members(n, field, append([]string{"where"}, eventFields...)...)
		}
		get := func(name string) (*yaml.Node, string) {
			if v := own[name]; v != nil {
				return v, document.Join(field, name)
			}
			return top[name], name
		}
		var t template
		if v := own["where"]; v != nil {
			t.where = c.conditions(v, document.Join(field, "where"))
		}
		for _, want := range []struct {
			name string
			into *text
		}{{"node", &t.node}, {"customer", &t.customer}, {"meter", &t.meter}} {
			v, path := get(want.name)
			if v == nil {
				c.Problem(at, document.Join(field, want.name), "is missing")
				continue
			}
			*want.into = c.text(v, path)
			c.constantName(v, path, *want.into)
		}
		if v, path := get("quantity"); v == nil {
			c.Problem(at, document.Join(field, "quantity"), "is missing")
		} else {
			t.quantity = c.quantity(v, path)
		}
		start, startPath := get("start")
		end, endPath := get("end")
		if start != nil {
			t.start = c.moment(start, startPath, "end", end == nil)
		}
		if end != nil {
			t.end = c.moment(end, endPath, "start", start == nil)
		}
		switch {
		case start == nil && end == nil:
			c.Problem(at, document.Join(field, "end"), "is missing")
		case t.start.kind == relative && t.end.kind == relative:
			c.Problem(end, endPath, "start and end each rest on the other")
		}
		if v, path := get("attributes"); v != nil {
			t.attributes = c.attributes(v, path)
		}
		c.m.events = append(c.m.events, t)
	}
}

// constantName finds a bad name that no row could make good.
func (c *compiler) constantName(n *yaml.Node, field string, t text) {
	if t.constant() && len(t.parts) > 0 {
		name := t.parts[0].literal
		if t.edits != nil {
			name = t.edits.apply(name)
		}
		if err := events.CheckName(name); err != nil {
			c.Problem(n, field, "%v", err)
		}
	}
}

func (c *compiler) attributes(n *yaml.Node, field string) []attribute {
	var all []attribute
	for _, pair := range c.Pairs(n, field) {
		if len(pair.Name) > 64 {
			c.Problem(pair.At, pair.Field, "a name has at most 64 bytes")
		} else if err := events.CheckName(pair.Name); err != nil {
			c.Problem(pair.At, pair.Field, "%v", err)
		}
		all = append(all, attribute{pair.Name, c.text(pair.Value, pair.Field)})
	}
	if len(all) > 32 {
		c.Problem(n, field, "has %d members, more than 32", len(all))
	}
	slices.SortFunc(all, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return all
}
