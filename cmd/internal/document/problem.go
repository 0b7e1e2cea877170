package document

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one mistake and its place.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`            // from 1
	Column int    `json:"column"`          // from 1
	Field  string `json:"field,omitempty"` // such as "rules[1].price"; empty: the document
	Detail string `json:"detail"`
}

// String is "file:line:column: field: detail".
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Field == "" {
		return where + p.Detail
	}
	return where + p.Field + ": " + p.Detail
}

// Problems is every mistake of a file and of the files that it names, ascending by
// file and line.
type Problems []Problem

// Error has a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Problem reports a mistake at a node.
func (r *Reader) Problem(n *yaml.Node, field, format string, values ...any) {
	r.Report(r.file, n.Line, n.Column, field, fmt.Sprintf(format, values...))
}

// Report reports a mistake at a place, which may be in another file. Lines and
// columns below 1 become 1.
func (r *Reader) Report(file string, line, column int, field, detail string) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{File: file, Line: max(line, 1), Column: max(column, 1), Field: field, Detail: detail})
	}
}

// Full reports whether there are so many problems, or values, that reading on does
// not help.
func (r *Reader) Full() bool { return len(r.problems) >= maxProblems || r.values < 0 }

// Err returns the [Problems] so far, or nil.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return r.problems
}
