package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Parse compiles a map file. The error is a [Problems] with everything that is
// wrong, each with its line and field.
func Parse(document []byte) (*Map, error) {
	if len(document) > MaxMap {
		return nil, Problems{{1, 1, "", fmt.Sprintf("a map has at most %d bytes, and this has %d", MaxMap, len(document))}}
	}
	var root yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, Problems{{1, 1, "", "the map is empty"}}
		}
		return nil, Problems{syntax(err)}
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, Problems{syntax(err)}
		}
		return nil, Problems{{second.Line, second.Column, "", "a map is one document, and here a second begins"}}
	}
	c := compiler{m: &Map{}, index: make(map[string]int)}
	c.document(root.Content[0])
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, c.problems
	}
	return c.m, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func syntax(err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
		text = strings.Replace(text, found[0], "", 1)
	}
	return Problem{line, 1, "", "not YAML: " + text}
}

// compiler walks the document and collects problems instead of stopping.
type compiler struct {
	m        *Map
	index    map[string]int // column name to its index in m.columns
	problems Problems
}

func (c *compiler) problem(n *yaml.Node, field, format string, values ...any) {
	if len(c.problems) < 100 { // More would help nobody.
		c.problems = append(c.problems, Problem{n.Line, n.Column, field, fmt.Sprintf(format, values...)})
	}
}

// members returns the values of a mapping by name. Unknown and repeated names
// are problems, so that a misspelt field is never left out silently.
func (c *compiler) members(n *yaml.Node, field string, known ...string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		c.problem(n, field, "should be a mapping with %s", strings.Join(known, ", "))
		return found
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := join(field, name.Value)
		switch {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value):
			c.problem(name, path, "is not known here; known are %s", strings.Join(known, ", "))
		case found[name.Value] != nil:
			c.problem(name, path, "is given twice")
		case value.Kind == yaml.AliasNode:
			c.problem(value, path, "aliases are not read in a map")
		default:
			found[name.Value] = value
		}
	}
	return found
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// scalar returns the text of a scalar as it is written: numbers and times are
// never converted.
func (c *compiler) scalar(n *yaml.Node, field string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		c.problem(n, field, "should be a text")
		return "", false
	}
	return n.Value, true
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
	c.problem(n, field, "should be true or false")
	return false
}

// list returns the texts of a sequence, or of a scalar as a sequence of one.
func (c *compiler) list(n *yaml.Node, field string) []string {
	if n.Kind == yaml.ScalarNode {
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}, Line: n.Line, Column: n.Column}
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		c.problem(n, field, "should be a list of texts")
		return nil
	}
	var all []string
	for i, item := range n.Content {
		if s, ok := c.scalar(item, fmt.Sprintf("%s[%d]", field, i)); ok {
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
	top := c.members(n, "", append([]string{
		"format", "separator", "comment", "skip", "columns", "decimal", "thousands", "optional", "empty", "book", "source", "id", "received", "shift", "declare", "where", "events",
	}, eventFields...)...)
	c.file(top)
	if v := top["book"]; v != nil {
		if s, ok := c.scalar(v, "book"); ok {
			if err := events.CheckName(s); err != nil {
				c.problem(v, "book", "%v", err)
			}
			c.m.Book = events.Book(s)
		}
	}
	if v := top["source"]; v != nil {
		c.m.source = c.sourceText(v)
	} else {
		c.problem(n, "source", "is missing: it names who numbers the events, such as \"azure/{file}\"")
	}
	c.identity(n, top["id"])
	if v := top["received"]; v != nil {
		switch s, _ := c.scalar(v, "received"); s {
		case "event":
			c.m.ReceivedFromEvent = true
		case "now":
		default:
			c.problem(v, "received", "should be event or now")
		}
	}
	if v := top["shift"]; v != nil {
		if begin := c.members(v, "shift", "begin")["begin"]; begin == nil {
			c.problem(v, "shift.begin", "is missing")
		} else if s, ok := c.scalar(begin, "shift.begin"); ok {
			t, err := ParseBegin(s)
			if err != nil {
				c.problem(begin, "shift.begin", "%v", err)
			}
			c.m.Begin = t
		}
	}
	if v := top["declare"]; v != nil {
		d := c.members(v, "declare", "nodes", "customers")
		c.m.DeclareNodes = c.yes(d["nodes"], "declare.nodes")
		c.m.DeclareCustomers = c.yes(d["customers"], "declare.customers")
		if c.m.Book == "" && top["book"] == nil {
			c.problem(v, "declare", "needs the field book, to which it declares")
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
		s, ok := c.scalar(v, field.name)
		if !ok {
			continue
		}
		var f rowfile.Flags // Each on its own, so that each problem has its place.
		field.into(&f, s)
		o, err := f.Options("")
		if err != nil {
			c.problem(v, field.name, "%s", strings.TrimPrefix(err.Error(), field.name+": "))
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
		c.problem(top["thousands"], "thousands", "%q is the decimal mark already", mark)
	}
	if v := top["skip"]; v != nil {
		s, _ := c.scalar(v, "skip")
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			c.problem(v, "skip", "should be a number of lines, from 0 to 65535")
		}
		c.m.file.Skip = int(n)
	}
	if v := top["columns"]; v != nil {
		c.m.file.Columns = c.list(v, "columns")
		for i, name := range c.m.file.Columns {
			if slices.Contains(c.m.file.Columns[:i], name) {
				c.problem(v, fmt.Sprintf("columns[%d]", i), "%q is named twice", name)
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
	switch s, _ := c.scalar(n, field); s {
	case "allowed":
		return true
	case "refused":
	default:
		c.problem(n, field, "should be allowed or refused")
	}
	return false
}

// optional marks the columns that a file may lack.
func (c *compiler) optional(n *yaml.Node) {
	for i, name := range c.list(n, "optional") {
		at, used := c.index[name]
		if !used {
			c.problem(n, fmt.Sprintf("optional[%d]", i), "the map does not use a column %q", name)
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
		c.problem(root, "id", "is missing: %s", choices)
	case v.Kind == yaml.ScalarNode && v.Value == "row":
		c.m.identity = identity{kind: byRow}
	case v.Kind == yaml.ScalarNode && v.Value == "content":
		c.m.identity = identity{kind: byContent}
	case v.Kind == yaml.MappingNode && len(v.Content) > 0 && (v.Content[0].Value == "content" || len(v.Content) == 4 && v.Content[2].Value == "content"):
		m := c.members(v, "id", "content", "empty")
		c.m.identity = identity{kind: byContent, columns: []int{}, emptyOK: c.allowed(m["empty"], "id.empty")}
		for _, name := range c.list(m["content"], "id.content") {
			c.m.identity.columns = append(c.m.identity.columns, c.column(v, name))
		}
	default:
		t := c.text(v, "id")
		if t.constant() {
			c.problem(v, "id", choices)
		}
		c.m.identity = identity{kind: byText, text: t}
	}
}

func (c *compiler) templates(root *yaml.Node, top map[string]*yaml.Node) {
	list := []*yaml.Node{nil}
	if v := top["events"]; v != nil {
		if v.Kind != yaml.SequenceNode || len(v.Content) == 0 || len(v.Content) > 64 {
			c.problem(v, "events", "should be a list of 1 to 64 events")
			return
		}
		list = v.Content
	}
	for i, n := range list {
		field, at := "", root
		own := map[string]*yaml.Node{}
		if n != nil {
			field, at = fmt.Sprintf("events[%d]", i), n
			own = c.members(n, field, append([]string{"where"}, eventFields...)...)
		}
		get := func(name string) (*yaml.Node, string) {
			if v := own[name]; v != nil {
				return v, join(field, name)
			}
			return top[name], name
		}
		var t template
		if v := own["where"]; v != nil {
			t.where = c.conditions(v, join(field, "where"))
		}
		for _, want := range []struct {
			name string
			into *text
		}{{"node", &t.node}, {"customer", &t.customer}, {"meter", &t.meter}} {
			v, path := get(want.name)
			if v == nil {
				c.problem(at, join(field, want.name), "is missing")
				continue
			}
			*want.into = c.text(v, path)
			c.constantName(v, path, *want.into)
		}
		if v, path := get("quantity"); v == nil {
			c.problem(at, join(field, "quantity"), "is missing")
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
			c.problem(at, join(field, "end"), "is missing")
		case t.start.kind == relative && t.end.kind == relative:
			c.problem(end, endPath, "start and end each rest on the other")
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
			c.problem(n, field, "%v", err)
		}
	}
}

func (c *compiler) attributes(n *yaml.Node, field string) []attribute {
	if n.Kind != yaml.MappingNode || len(n.Content) > 64 {
		c.problem(n, field, "should be a mapping of at most 32 names to texts")
		return nil
	}
	var all []attribute
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, path := n.Content[i], join(field, n.Content[i].Value)
		if len(name.Value) > 64 {
			c.problem(name, path, "a name has at most 64 bytes")
		} else if err := events.CheckName(name.Value); err != nil {
			c.problem(name, path, "%v", err)
		}
		all = append(all, attribute{name.Value, c.text(n.Content[i+1], path)})
	}
	slices.SortFunc(all, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if all[i].name == all[i-1].name {
			c.problem(n, join(field, all[i].name), "is given twice")
		}
	}
	return all
}
