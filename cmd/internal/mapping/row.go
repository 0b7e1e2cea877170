package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// row is one row of a file as the map sees it.
type row struct {
	*rowfile.Row
	file    string // base name
	json    bool
	columns []rowfile.Column // of the columns of the map; None: the file lacks an optional one
	names   []string         // likewise
	numbers *rowfile.Options
	scratch []byte // for hashing
}

// get returns a column of the map, by its index there; empty where the row lacks it.
func (r *row) get(column int) string { return r.Text(r.columns[column]) }

// number returns a column as plain decimal text.
func (r *row) number(column int) (string, *fault) {
	text := r.get(column)
	if text == "" {
		return "", r.empty(column, "")
	}
	plain, err := r.numbers.Plain(text)
	if err != nil {
		return "", &fault{events.BadNumber, err.Error()}
	}
	return plain, nil
}

// empty says that a column is, and why that matters.
func (r *row) empty(column int, why string) *fault {
	is := "is empty"
	if _, there := r.Cell(r.columns[column]); !there {
		is = "is not in this row"
	}
	return &fault{events.Missing, fmt.Sprintf("the column %q %s%s", rowfile.Clip(r.names[column]), is, why)}
}

// content appends columns of the map, or with nil all that the file has. A CSV
// row is its fields in order; a JSON row its members and their names, by name.
func (r *row) content(b []byte, columns []int) []byte {
	switch {
	case columns != nil:
		for _, i := range columns {
			b = appendField(b, r.get(i))
		}
	case r.json:
		var members [][2]string
		r.All(func(path, text string) { members = append(members, [2]string{path, text}) })
		slices.SortFunc(members, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		for _, m := range members {
			b = appendField(b, m[0])
			b = appendField(b, m[1])
		}
	default:
		r.All(func(_, text string) { b = appendField(b, text) })
	}
	return b
}

// fault is what is wrong with one field of one row.
type fault struct {
	reason events.Reason
	detail string
}

// faultOf says what is wrong with a row that could not be read.
func faultOf(err error) *fault {
	reason := events.Malformed
	switch {
	case errors.Is(err, rowfile.ErrLong):
		reason = events.TooLarge
	case errors.Is(err, rowfile.ErrText):
		reason = events.BadText
	}
	var of *rowfile.Error
	if errors.As(err, &of) { // The line is told beside it.
		err = of.Err
	}
	return &fault{reason, err.Error()}
}
