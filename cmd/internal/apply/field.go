package apply

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// fields is a YAML mapping of which the names are known.
type fields struct {
	p     *parser
	node  *yaml.Node
	path  string // with a final point where it is not the document itself
	value map[string]*yaml.Node
}

// mapping reads a mapping whose fields all are in known. Anything else is a
// problem, and gives a mapping without fields.
func (p *parser) mapping(n *yaml.Node, path string, known ...string) fields {
	f := fields{p: p, node: n, path: path, value: map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		p.problem(n, strings.TrimSuffix(path, "."), "should be a mapping with %s", strings.Join(known, ", "))
		return f
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], p.resolve(n.Content[i+1])
		if value == nil {
			return f
		}
		field := path + clip(name.Value)
		switch {
		case name.Kind != yaml.ScalarNode || !contains(known, name.Value):
			p.problem(name, field, "is not known here: %s", strings.Join(known, ", "))
		case f.value[name.Value] != nil:
			p.problem(name, field, "is given twice, first in line %d", f.value[name.Value].Line)
		default:
			f.value[name.Value] = value
			p.at[field] = value
		}
	}
	return f
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// resolve follows an alias, and returns nil once too many values were looked
// at: a few lines of aliases can stand for any number of values.
func (p *parser) resolve(n *yaml.Node) *yaml.Node {
	p.values--
	if p.values < 0 {
		if p.values == -1 {
			p.problem(n, "", "the aliases of the file stand for too many values")
		}
		return nil
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// text returns a scalar as it is written, or nothing where the field is absent.
func (f *fields) text(name string) string {
	s, _ := f.scalar(name)
	return s
}

func (f *fields) scalar(name string) (string, bool) {
	n := f.value[name]
	if n == nil {
		return "", false
	}
	return f.p.scalar(n, f.path+name)
}

func (p *parser) scalar(n *yaml.Node, field string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		p.problem(n, field, "should be one value, not a list or a mapping")
	case isNull(n):
		p.problem(n, field, "has no value")
	default:
		return n.Value, true
	}
	return "", false
}

// choice reports whether a field is one of two words; absent is the second.
func (f *fields) choice(name, yes, no string) bool {
	s, ok := f.scalar(name)
	if ok && s != yes && s != no {
		f.p.problem(f.value[name], f.path+name, "%q is neither %s nor %s", clip(s), yes, no)
	}
	return ok && s == yes
}

func (f *fields) number(name string, otherwise int) int {
	s, ok := f.scalar(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%q is not a whole number", clip(s))
	}
	return n
}

func (f *fields) amount(name string) money.Amount {
	s, ok := f.scalar(name)
	if !ok {
		return money.Amount{}
	}
	a, err := money.ParseAmount(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v", err)
	}
	return a
}

func (f *fields) quantity(name, otherwise string) money.Quantity {
	s, ok := f.scalar(name)
	if !ok {
		s = otherwise
	}
	q, err := money.ParseQuantity(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v", err)
	}
	return q
}

// fraction reads "2%" or "0.02".
func (f *fields) fraction(name string) money.Amount {
	s, ok := f.scalar(name)
	if !ok {
		return money.Amount{}
	}
	a, err := parseFraction(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v", err)
	}
	return a
}

func parseFraction(s string) (money.Amount, error) {
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		percent = strings.TrimSuffix(percent, " ")
		if strings.ContainsAny(percent, "eE") {
			return money.Amount{}, fmt.Errorf("%q is not a percentage such as 2.5%%", clip(s))
		}
		return money.ParseAmount(percent + "e-2")
	}
	return money.ParseAmount(s)
}

// basisPoints reads a fraction that is a whole number of basis points.
func (f *fields) basisPoints(name string) int {
	s, ok := f.scalar(name)
	if !ok {
		return 0
	}
	n, err := parseBasisPoints(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v", err)
	}
	return n
}

func parseBasisPoints(s string) (int, error) {
	fraction, err := parseFraction(s)
	if err != nil {
		return 0, err
	}
	points, err := money.ParseAmount(fraction.String() + "e4")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(points.String(), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of basis points (0.01%%)", clip(s))
	}
	return int(n), nil
}

// seconds reads "35d", "24h", "1h30m" or "90s".
func (f *fields) seconds(name string, otherwise int64) int64 {
	s, ok := f.scalar(name)
	if !ok {
		return otherwise
	}
	n, err := parseSeconds(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v", err)
	}
	return n
}

func parseSeconds(s string) (int64, error) {
	wrong := fmt.Errorf("%q is not a duration such as 35d, 24h, 1h30m or 90s", clip(s))
	var sum int64
	rest := s
	last := int64(1 << 62) // The units must descend, so that none is there twice.
	for rest != "" {
		i := strings.IndexAny(rest, "dhms")
		if i < 1 {
			return 0, wrong
		}
		n, err := strconv.ParseUint(rest[:i], 10, 33)
		if err != nil {
			return 0, wrong
		}
		unit := map[byte]int64{'d': 86_400, 'h': 3_600, 'm': 60, 's': 1}[rest[i]]
		if unit >= last {
			return 0, wrong
		}
		last = unit
		sum += int64(n) * unit // At most 2³³ × 90,061: no overflow.
		rest = rest[i+1:]
	}
	if s == "" {
		return 0, wrong
	}
	return sum, nil
}

// instant reads RFC 3339, or a day, which begins at midnight UTC.
func (f *fields) instant(name string) time.Time {
	s, ok := f.scalar(name)
	if !ok {
		return time.Time{}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UTC() // Validate says whether it is in range.
	}
	t, err := events.ParseTime(s)
	if err != nil {
		f.p.problem(f.value[name], f.path+name, "%v, or a day such as 2023-01-01", err)
	}
	return t
}

// items returns the values of a list, resolved, and notes their places.
func (f *fields) items(name string) []*yaml.Node {
	n := f.value[name]
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		f.p.problem(n, f.path+name, "should be a list")
		return nil
	}
	list := make([]*yaml.Node, 0, len(n.Content))
	for i, item := range n.Content {
		value := f.p.resolve(item)
		if value == nil {
			return nil
		}
		f.p.at[fmt.Sprintf("%s%s[%d]", f.path, name, i)] = value
		list = append(list, value)
	}
	return list
}

// each calls read for every item of a list that stands for a body of its own,
// until there are problems enough. The places of the fields of one item are
// forgotten with the next.
func (f *fields) each(name string, read func(item *yaml.Node, path string)) {
	items, at := f.items(name), f.p.at
	for i, item := range items {
		if f.p.full() {
			break
		}
		f.p.at = map[string]*yaml.Node{}
		read(item, fmt.Sprintf("%s%s[%d]", f.path, name, i))
	}
	f.p.at = at
}

// texts returns a list of scalars.
func (f *fields) texts(name string) []string {
	var list []string
	for i, n := range f.items(name) {
		if s, ok := f.p.scalar(n, fmt.Sprintf("%s%s[%d]", f.path, name, i)); ok {
			list = append(list, s)
		}
	}
	return list
}

// attributes returns a mapping of texts.
func (f *fields) attributes(name string) map[string]string {
	n := f.value[name]
	if n == nil {
		return nil
	}
	path := f.path + name
	if n.Kind != yaml.MappingNode {
		f.p.problem(n, path, "should be a mapping of names to values")
		return nil
	}
	m := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], f.p.resolve(n.Content[i+1])
		if value == nil {
			return nil
		}
		field := path + "." + clip(key.Value)
		if _, twice := m[key.Value]; twice || key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			f.p.problem(key, field, "is not a name, or given twice")
			continue
		}
		if s, ok := f.p.scalar(value, field); ok {
			m[key.Value] = s
			f.p.at[field] = value
		}
	}
	return m
}

// clip keeps hostile text out of messages.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}
