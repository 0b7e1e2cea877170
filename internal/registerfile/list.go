package registerfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// maxLine is how long a line of a list may be, in bytes.
const maxLine = 64 << 10

// maxLines is how many lines a list may have: a compressed list may unpack to
// more than fits into memory.
const maxLines = 10_000_000

// ReadList reads a screening list: one holder on each line, in any order, or
// rows of CSV or JSON with a column of holders. Empty lines, lines that begin
// with #, and repetitions are ignored. A file packed by gzip or zstd is
// unpacked. Every holder is brought to its normal form (see
// [events.ParseHolder]). The result is ascending.
//
// column names the column of holders. If it is empty, a first line with a
// column called holder, account, address, wallet or HolderAddress is the header
// of a CSV file, objects are JSON, and everything else is one holder on each
// line. Reading fails closed: a line that has several cells, that looks like an
// address but is not one, or that seems to be the header of a column of
// addresses, is an error that names the line, up to 20 of them. A file that is
// not UTF-8 text is an error too.
func ReadList(r io.Reader, column string) ([]events.Holder, error) {
	text, err := rowfile.Text(r)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	l := list{text: bufio.NewReaderSize(text, maxLine)}
	first, err := l.next()
	switch {
	case errors.Is(err, io.EOF) && column != "":
		return nil, errors.New("line 1: the file is empty, it needs a header")
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	case column != "":
		err = l.rows(first, strings.TrimSpace(column))
	case hasHeader(first):
		err = l.rows(first, holderColumns...)
	default:
		err = l.plain(first)
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(l.holders)
	return slices.Compact(l.holders), nil
}

// list is a screening list that is being read.
type list struct {
	text   *bufio.Reader
	number int // of the line that next returned, from 1

	first   int // number of the line of the first holder
	names   int // number of holders that are not addresses
	holders []events.Holder
}

// next returns the next line that is neither empty nor a comment. Its errors
// name the line; it returns io.EOF at the end.
func (l *list) next() (string, error) {
	for {
		chunk, err := l.text.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(chunk) == 0 {
			return "", io.EOF
		}
		if l.number++; l.number > maxLines {
			err = fmt.Errorf("a list has up to %d lines", maxLines)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("the line is longer than %d bytes", maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("line %d: %w", l.number, err)
		}
		if line := strings.TrimSpace(string(chunk)); line != "" && line[0] != '#' {
			return line, nil
		}
	}
}

// hasHeader reports whether a file that begins with this line has rows: CSV
// with a known column of holders, or JSON objects.
func hasHeader(line string) bool {
	if object := strings.TrimLeft(line, "[ \t"); object != "" && object[0] == '{' || line == "[" {
		return true
	}
	head, err := rowfile.New(strings.NewReader(line), rowfile.Options{Format: rowfile.CSV})
	return err == nil && slices.ContainsFunc(head.Columns(), isHolderColumn)
}

// rows reads rows with one of these columns of holders. first is the line that
// was already read.
func (l *list) rows(first string, columns ...string) error {
	before := strings.NewReader(strings.Repeat("\n", l.number-1) + first + "\n")
	rows, err := rowfile.New(io.MultiReader(before, l.text), rowfile.Options{Comment: '#'})
	if err != nil {
		return err
	}
	at, err := rows.Find("holder", columns...)
	if err != nil {
		return err
	}
	return rows.Each(func(row *rowfile.Row, _ int) error {
		if row.Line() > maxLines {
			return rowfile.End(fmt.Errorf("line %d: a list has up to %d lines", row.Line(), maxLines))
		}
		return l.add(row.Line(), row.Text(at))
	})
}

// plain reads one holder from each line.
func (l *list) plain(line string) (err error) {
	var problems []error
	for ; err == nil && len(problems) < rowfile.MaxProblems; line, err = l.next() {
		if i := strings.IndexAny(line, ",;|\t"); i >= 0 {
			problems = append(problems, fmt.Errorf("line %d: holder: %q has several cells, separated by %q: name the column that has the holders", l.number, rowfile.Clip(line), line[i]))
			continue
		}
		if err := l.add(l.number, line); err != nil {
			problems = append(problems, err)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		problems = append(problems, err)
	}
	if l.headless() {
		problems = append(problems, fmt.Errorf("line %d: %q is not an address, and all the others are: if it is the header of the column, name the column %[2]q", l.first, rowfile.Clip(string(l.holders[0]))))
	}
	return errors.Join(problems...)
}

// add adds the holder of a line.
func (l *list) add(number int, name string) error {
	holder, err := events.ParseHolder(name)
	if err != nil {
		return fmt.Errorf("line %d: holder: %w", number, err)
	}
	if len(l.holders) == 0 {
		l.first = number
	}
	if !isAddress(holder) {
		l.names++
	}
	l.holders = append(l.holders, holder)
	return nil
}

// headless reports whether a list without a known header seems to have one:
// only its first line is not an address.
func (l *list) headless() bool {
	return len(l.holders) > 1 && l.names == 1 && !isAddress(l.holders[0])
}

func isHolderColumn(name string) bool {
	return slices.Contains(holderColumns, strings.ToLower(strings.TrimSpace(name)))
}

func isAddress(h events.Holder) bool { return strings.HasPrefix(string(h), "0x") }

// Decisions packs a list into as many decisions as it needs. An empty list is
// one decision, which removes all holders from the list.
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

// jsonWidth returns an upper bound of the bytes that a name needs in a JSON
// list.
func jsonWidth(s string) int {
	width := len(s) + 3
	for i := range len(s) {
		if strings.IndexByte(`"\<>&`, s[i]) >= 0 {
			width += 5
		}
	}
	return width
}
