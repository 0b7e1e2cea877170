package registerfile

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// maxLine is how long a line of a list may be, in bytes.
const maxLine = 64 << 10

// ReadList reads a screening list: one holder a line, in any order, or CSV, of
// which one column has the holders. Empty lines and those that begin with # are
// left out, repetitions too. Every holder is brought to its normal form (see
// [events.ParseHolder]). The result is ascending.
//
// column names the column of a CSV file. Where it is empty, a first line with a
// column called holder, account, address or wallet is the header of a CSV file,
// and everything else is one holder a line. Reading fails closed: a line that
// has several cells, that looks like an address and is none, or that heads a
// column of addresses, is an error with its number, up to 20 of them.
func ReadList(r io.Reader, column string) ([]events.Holder, error) {
	lines := bufio.NewScanner(skipMark(r))
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	l := list{column: column}
	for lines.Scan() && len(l.problems) < maxProblems {
		l.number++
		if text := strings.TrimSpace(lines.Text()); text != "" && text[0] != '#' {
			l.line(text)
		}
	}
	if err := lines.Err(); err != nil {
		l.problems = append(l.problems, fmt.Errorf("line %d: %w", l.number+1, err))
	}
	if len(l.problems) == 0 && column != "" && !l.begun {
		l.problem(errors.New("the file is empty, it needs a header"))
	}
	if l.headless() {
		l.problems = append(l.problems, fmt.Errorf("line %d: %q is no address, and all the others are: if it heads the column, name the column %[2]q", l.first, clip(string(l.holders[0]))))
	}
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	slices.Sort(l.holders)
	return slices.Compact(l.holders), nil
}

// list is a screening list that is being read.
type list struct {
	column    string
	begun     bool // the first line has been seen
	cells     bool // the file is CSV
	separator rune // of its cells
	at, of    int  // which cell has the holder, of how many

	number   int // of the line
	first    int // number of the line of the first holder
	names    int // of the holders, those that are no address
	holders  []events.Holder
	problems []error
}

func (l *list) problem(err error) {
	l.problems = append(l.problems, fmt.Errorf("line %d: %w", l.number, err))
}

// line takes one line that is neither empty nor a comment.
func (l *list) line(text string) {
	if !l.begun {
		l.begun = true
		l.separator = separatorOf(text)
		if head, err := l.split(text); err == nil && (l.column != "" || slices.ContainsFunc(head, isHolderColumn)) {
			l.cells, l.of = true, len(head)
			names := holderColumns
			if l.column != "" {
				names = []string{strings.ToLower(strings.TrimSpace(l.column))}
			}
			if l.at, err = column(head, names); err != nil {
				l.problems = append(l.problems, err)
			}
			return
		} else if l.column != "" {
			l.problem(err)
			return
		}
	}
	name := text
	if l.cells {
		row, err := l.split(text)
		if err == nil && len(row) != l.of {
			err = fmt.Errorf("%d fields instead of %d", len(row), l.of)
		}
		if err != nil {
			l.problem(err)
			return
		}
		name = strings.TrimSpace(row[l.at])
	} else if i := strings.IndexAny(text, ",;|\t"); i >= 0 {
		l.problem(fmt.Errorf("holder: %q has several cells, separated by %q: name the column that has the holders", clip(text), text[i]))
		return
	}
	holder, err := events.ParseHolder(name)
	if err != nil {
		l.problem(fmt.Errorf("holder: %w", err))
		return
	}
	if len(l.holders) == 0 {
		l.first = l.number
	}
	if !isAddress(holder) {
		l.names++
	}
	l.holders = append(l.holders, holder)
}

// headless reports whether a list without a known header seems to have one: its
// first line is the only one that is no address.
func (l *list) headless() bool {
	return !l.cells && len(l.holders) > 1 && l.names == 1 && !isAddress(l.holders[0])
}

// split returns the cells of one line. A quoted cell ends on the line it began.
func (l *list) split(text string) ([]string, error) {
	row := csv.NewReader(strings.NewReader(text))
	row.Comma = l.separator
	cells, err := row.Read()
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		err = parse.Err // which line it is, the caller knows
	}
	return cells, err
}

// separatorOf returns what separates the cells of a header.
func separatorOf(head string) rune {
	for _, r := range ",;\t" {
		if strings.ContainsRune(head, r) {
			return r
		}
	}
	return ','
}

func isHolderColumn(name string) bool {
	return slices.Contains(holderColumns, strings.ToLower(strings.TrimSpace(name)))
}

func isAddress(h events.Holder) bool { return strings.HasPrefix(string(h), "0x") }

// Decisions packs a list into as many decisions as it needs; an empty list is
// one, which takes everybody off it.
func Decisions(list string, holders []events.Holder) []events.HoldersListed {
	parts := []events.HoldersListed{{List: list}}
	size := 0
	for _, h := range holders {
		width := jsonWidth(string(h))
		last := &parts[len(parts)-1]
		if size+width > events.MaxDecision*3/4 { // leaves room for the envelope
			parts = append(parts, events.HoldersListed{List: list})
			last, size = &parts[len(parts)-1], 0
		}
		last.Holders = append(last.Holders, h)
		size += width
	}
	for i := range parts {
		parts[i].Part, parts[i].Parts = i, len(parts)
	}
	return parts
}

// jsonWidth is at least what a name takes in a list in JSON.
func jsonWidth(s string) int {
	width := len(s) + 3
	for i := range len(s) {
		if strings.IndexByte(`"\<>&`, s[i]) >= 0 {
			width += 5
		}
	}
	return width
}
