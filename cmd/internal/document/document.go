// Package document reads the YAML files that people write: declarations and maps.
//
// The method is to walk the nodes of the YAML instead of unmarshalling it, so that
// every value is taken from its text, and every problem has a place: file, line,
// column and field. What the fields mean is the caller's.
//
// # Invariants
//
//   - Exact: a scalar is returned as it is written; no number becomes a float and
//     no text becomes a time.
//   - Nothing is ignored: a field that is unknown, given twice or without a value
//     is a problem, and so is a merge key.
//   - All problems are reported at once, up to 100, ascending by file and line.
//   - Bounded: following aliases costs no more than [Limits] allow.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
)

// maxProblems is how many problems are reported: more do not help.
const maxProblems = 100

// Limits bound a file.
type Limits struct {
	// Bytes is the largest size of the file.
	Bytes int
	// TooLong says what to do about a file with more, such as "split it"; it may be
	// empty.
	TooLong string
	// Aliases is for how many values the aliases of a file may stand, above its
	// length in bytes. A few lines of aliases can stand for any number of values. 0
	// refuses aliases.
	Aliases int
}

// Reader walks the documents of one file and collects the problems. It is not safe
// for concurrent use.
type Reader struct {
	file     string
	limits   Limits
	values   int // may still be resolved, each alias counted anew
	problems Problems
}

// New returns a reader of a file, whose name is used in problems only.
func New(file string, limits Limits) *Reader { return &Reader{file: file, limits: limits} }

// Documents returns the root of each document of the file that is not null, up to
// the first error of syntax, which is reported.
func (r *Reader) Documents(data []byte) []*yaml.Node {
	if len(data) > r.limits.Bytes {
		detail := fmt.Sprintf("the file has more than %d bytes", r.limits.Bytes)
		if r.limits.TooLong != "" {
			detail += ": " + r.limits.TooLong
		}
		r.Report(r.file, 1, 1, "", detail)
		return nil
	}
	r.values = len(data) + r.limits.Aliases // A value takes two bytes or more: only aliases exceed this.
	var roots []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return roots
		}
		if err != nil {
			line, text := syntax(err)
			r.Report(r.file, line, 1, "", "not YAML: "+text)
			return roots
		}
		if len(root.Content) == 1 && !isNull(root.Content[0]) {
			roots = append(roots, root.Content[0])
		}
	}
}

var lineOf = regexp.MustCompile(`line (\d+): `)

// syntax takes the line out of an error of the YAML library.
func syntax(err error) (line int, text string) {
	text, line = strings.TrimPrefix(err.Error(), "yaml: "), 1
	if found := lineOf.FindStringSubmatch(text); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
		text = strings.Replace(text, found[0], "", 1)
	}
	return line, text
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Resolve returns the value that n stands for: n, or what its alias refers to. It
// returns nil, and has reported why, for an alias that the limits do not allow.
func (r *Reader) Resolve(n *yaml.Node, field string) *yaml.Node {
	alias := n.Kind == yaml.AliasNode
	if alias && r.limits.Aliases == 0 {
		r.Problem(n, field, "aliases may not be used here")
		return nil
	}
	if r.limits.Aliases > 0 {
		if r.values--; r.values < 0 {
			if r.values == -1 {
				r.Problem(n, "", "the aliases of the file stand for too many values")
			}
			return nil
		}
	}
	if alias {
		return n.Alias
	}
	return n
}

// A Pair is one member of a mapping.
type Pair struct {
	Name  string     // as it is written
	Field string     // the path of the value
	At    *yaml.Node // the name
	Value *yaml.Node
}

// Members returns the values of a mapping by name. A name that is not in known or
// was given before is a problem, and so is anything but a mapping.
func (r *Reader) Members(n *yaml.Node, field string, known ...string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		r.Problem(n, field, "should be a mapping with %s", strings.Join(known, ", "))
		return found
	}
	isKnown := func(name *yaml.Node) bool { return slices.Contains(known, name.Value) }
	for _, p := range r.pairs(n, field, isKnown, "is not known here: "+strings.Join(known, ", ")) {
		found[p.Name] = p.Value
	}
	return found
}

// Pairs returns the members of a mapping whose names are free, in the order of the
// file. A name that was given before is a problem, and so is anything but a
// mapping.
func (r *Reader) Pairs(n *yaml.Node, field string) []Pair {
	if n.Kind != yaml.MappingNode {
		r.Problem(n, field, "should be a mapping of names to values")
		return nil
	}
	return r.pairs(n, field, func(name *yaml.Node) bool { return name.Tag != "!!merge" }, "is not a name")
}

// pairs returns the members of a mapping whose names are good.
func (r *Reader) pairs(n *yaml.Node, field string, good func(name *yaml.Node) bool, bad string) (pairs []Pair) {
	first := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content) && r.values >= 0; i += 2 {
		name, path := n.Content[i], Join(field, Clip(n.Content[i].Value))
		switch {
		case name.Kind != yaml.ScalarNode || !good(name):
			r.Problem(name, path, "%s", bad)
		case first[name.Value] != nil:
			r.Problem(name, path, "is given twice, first in line %d", first[name.Value].Line)
		default:
			first[name.Value] = name
			if value := r.Resolve(n.Content[i+1], path); value != nil {
				pairs = append(pairs, Pair{name.Value, path, name, value})
			}
		}
	}
	return pairs
}

// Items returns the values of a list. Anything else is a problem.
func (r *Reader) Items(n *yaml.Node, field string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.Problem(n, field, "should be a list")
		return nil
	}
	items := make([]*yaml.Node, 0, len(n.Content))
	for i, item := range n.Content {
		value := r.Resolve(item, At(field, i))
		if value == nil {
			return nil
		}
		items = append(items, value)
	}
	return items
}

// Scalar returns the text of a scalar as it is written. Anything else is a problem.
func (r *Reader) Scalar(n *yaml.Node, field string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.Problem(n, field, "should be one value, not a list or a mapping")
	case isNull(n):
		r.Problem(n, field, "has no value")
	default:
		return n.Value, true
	}
	return "", false
}

// Join returns the path of a member: "rules[1]" and "price" give "rules[1].price".
func Join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// At returns the path of an item: "rules" and 1 give "rules[1]".
func At(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// Clip shortens text of a file for a message: see [rowfile.Clip].
func Clip(s string) string { return rowfile.Clip(s) }
