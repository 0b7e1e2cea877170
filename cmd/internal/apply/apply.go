// Package apply reads declarations: YAML documents that people write, into the
// bodies of decisions that CONTROL records.
//
// The method: package document walks the nodes of the YAML, so that every value is
// taken from its text, exactly, and every mistake has a place; a reader for each
// kind of document makes bodies of them. docs/book-format.md is the format.
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
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

const (
	// MaxFile is the largest YAML file in bytes. Longer lists stand in a file of
	// their own, as CSV.
	MaxFile = 8 << 20

	spareValues = 100_000 // for how many values aliases may stand
)

// Open opens a file that a document names with from.
type Open func(name string) (io.ReadCloser, error)

// Parse reads the documents of a file, whose name is for messages only. A
// document that names another file is a mistake: see [ReadFile] and [Inline].
// The error is [document.Problems].
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
	p := parser{Reader: document.New(name, limits), file: name, open: open, first: map[string]place{}}
	for _, root := range p.documents(data) {
		if p.Full() {
			break
		}
		p.document(root)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return sorted(p.declared), nil
}

var limits = document.Limits{Bytes: MaxFile, TooLong: "put long lists in a file of their own and name it with from", Aliases: spareValues}

type place struct {
	file string
	line int
}

// parser collects bodies and problems.
type parser struct {
	*document.Reader
	file     string
	open     Open
	declared []Declaration
	first    map[string]place // where each thing was declared

	at map[string]*yaml.Node // of the current document: the value of each field
}

// documents reads the YAML as far as it can be read.
func (p *parser) documents(data []byte) []*yaml.Node {
	list := p.Documents(data)
	if len(list) == 0 && p.Err() == nil {
		p.Report(p.file, 1, 1, "", "the file declares nothing")
	}
	return list
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
		p.Problem(at, field, "%s", one.Detail)
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
		p.Report(at.file, at.line, 1, strings.TrimSuffix(field, "."), fmt.Sprintf("%s is declared twice, first in line %d of %s", what, first.line, first.file))
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
