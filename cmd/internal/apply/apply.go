// Package apply reads declarations: YAML documents that people write, into the
// bodies of decisions that CONTROL records.
//
// The method is to walk the nodes of the YAML instead of unmarshalling it, so
// that every value is taken from its text, exactly, and every mistake has a
// place: file, line, column and field. docs/book-format.md is the format.
//
// # Invariants
//
//   - All or nothing: with one mistake there are no bodies, and all mistakes
//     are named at once, up to 100.
//   - Exact: no number becomes a float on its way.
//   - Nothing is left out silently: what is not known is a mistake.
//   - Equal files give equal bodies in equal order, which is one in which each
//     can take effect: what is referred to comes before what refers to it.
//   - Bounded: a file of [MaxFile] bytes never leads to more than a small
//     multiple of them, aliases or not.
package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	// MaxFile is the largest YAML file in bytes. Longer lists stand in a file of
	// their own, as CSV.
	MaxFile = 8 << 20

	maxProblems = 100
	spareValues = 100_000 // see parser.values
)

// Open opens a file that a document names with from.
type Open func(name string) (io.ReadCloser, error)

// Parse reads the documents of a file, whose name is for messages only. A
// document that names another file is a mistake: see [ReadFile] and [Inline].
// The error is [Problems].
func Parse(name string, data []byte) ([]events.Body, error) {
	return ParseWith(name, data, nil)
}

// ReadFile reads a file and the files that it names, relative to its folder.
func ReadFile(path string) ([]Declaration, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading declarations: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading declarations: %w", err)
	}
	return Read(path, data, Beside(path))
}

// Declaration is one declaration and the place where it stands.
type Declaration struct {
	Body events.Body
	File string
	Line int // from 1
}

// Identity names what is declared, such as `node "gpu-7"`: a file declares each
// identity once.
func (d Declaration) Identity() string { return Identity(d.Body) }

// Place is "file:line".
func (d Declaration) Place() string { return fmt.Sprintf("%s:%d", d.File, d.Line) }

func bodiesOf(all []Declaration) []events.Body {
	if all == nil {
		return nil
	}
	bodies := make([]events.Body, len(all))
	for i, d := range all {
		bodies[i] = d.Body
	}
	return bodies
}

// Beside opens files relative to the folder of path.
func Beside(path string) Open {
	return func(name string) (io.ReadCloser, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return os.Open(name)
	}
}

// ParseWith is [Parse] with the files that documents name.
func ParseWith(name string, data []byte, open Open) ([]events.Body, error) {
	all, err := Read(name, data, open)
	return bodiesOf(all), err
}

// Read is [ParseWith] with the place of each declaration.
func Read(name string, data []byte, open Open) ([]Declaration, error) {
	// A value takes two bytes of a file or more, so only aliases exceed this.
	p := parser{file: name, open: open, first: map[string]place{}, values: len(data) + spareValues}
	documents := p.documents(data)
	for _, document := range documents {
		if p.full() {
			break
		}
		p.document(document)
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			if a.File != b.File {
				return strings.Compare(a.File, b.File)
			}
			return a.Line - b.Line
		})
		return nil, p.problems
	}
	return sorted(p.declared), nil
}

type place struct {
	file string
	line int
}

// parser collects bodies and problems.
type parser struct {
	file     string
	open     Open
	declared []Declaration
	problems Problems
	first    map[string]place // where each thing was declared
	values   int              // may still be looked at, each alias counted anew

	at map[string]*yaml.Node // of the current document: the value of each field
}

// documents reads the YAML as far as it can be read.
func (p *parser) documents(data []byte) []*yaml.Node {
	if len(data) > MaxFile {
		p.report(p.file, 1, 1, "", fmt.Sprintf("the file has more than %d bytes: put long lists in a file of their own and name it with from", MaxFile))
		return nil
	}
	var list []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, text := syntax(err)
			p.report(p.file, line, 1, "", "not YAML: "+text)
			break
		}
		if len(root.Content) == 1 && !isNull(root.Content[0]) {
			list = append(list, root.Content[0])
		}
	}
	if len(list) == 0 && len(p.problems) == 0 {
		p.report(p.file, 1, 1, "", "the file declares nothing")
	}
	return list
}

var lineOf = regexp.MustCompile(`line (\d+): `)

// syntax takes the line out of an error of the YAML library.
func syntax(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	line = 1
	if found := lineOf.FindStringSubmatch(text); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
		text = strings.Replace(text, found[0], "", 1)
	}
	return line, text
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Problem is one mistake and its place.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`            // from 1
	Column int    `json:"column"`          // from 1
	Field  string `json:"field,omitempty"` // such as "rules[1].price"; empty: the document
	Detail string `json:"detail"`
}

func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Field == "" {
		return where + p.Detail
	}
	return where + p.Field + ": " + p.Detail
}

// Problems is every mistake of a file, ascending by line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p *parser) report(file string, line, column int, field, detail string) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, Problem{File: file, Line: max(line, 1), Column: max(column, 1), Field: field, Detail: detail})
	}
}

// full reports whether enough was found: the rest would help nobody.
func (p *parser) full() bool { return len(p.problems) >= maxProblems || p.values < 0 }

func (p *parser) problem(n *yaml.Node, field, format string, values ...any) {
	p.report(p.file, n.Line, n.Column, field, fmt.Sprintf(format, values...))
}

// declare adds a body, unless it is not valid or was there before. Its fields
// stand in the document below prefix; what is missing is reported at n.
func (p *parser) declare(n *yaml.Node, prefix string, body events.Body) {
	for _, one := range problemsOf(body) {
		field := prefix + renamed(one.Field)
		at := n
		for path := field; path != ""; path = parent(path) {
			if found := p.at[path]; found != nil {
				at = found
				break
			}
		}
		p.problem(at, field, "%s", one.Detail)
	}
	p.once(place{p.file, n.Line}, prefix, body)
}

func problemsOf(body events.Body) events.Problems {
	var problems events.Problems
	if err := body.Validate(); err != nil && !errors.As(err, &problems) {
		problems = events.Problems{{Detail: err.Error()}}
	}
	return problems
}

// once refuses to declare one thing twice: which of the two is meant?
func (p *parser) once(at place, field string, body events.Body) {
	what := Identity(body)
	if first, again := p.first[what]; again {
		p.report(at.file, at.line, 1, strings.TrimSuffix(field, "."), fmt.Sprintf("%s is declared twice, first in line %d of %s", what, first.line, first.file))
		return
	}
	p.first[what] = at
	p.declared = append(p.declared, Declaration{body, at.file, at.line})
}

// renamed gives a field of a body the name that it has in a document.
func renamed(field string) string {
	switch field {
	case "horizon_seconds":
		return "horizon"
	case "future_seconds":
		return "future"
	case "received_from_event":
		return "received"
	case "heartbeat_seconds":
		return "heartbeat"
	case "margin_seconds":
		return "margin"
	case "fee_basis_points":
		return "fee"
	case "sha256": // A document has no other secret.
		return "nkey"
	}
	return field
}

// parent takes the last step off a path: "rules[1].price" is in "rules[1]", in "rules".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
