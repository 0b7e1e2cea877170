// Package rowfile reads files of rows in the forms that people have: CSV in its
// dialects, JSON Lines, and JSON arrays of objects, plain or compressed. Every
// file of rows that the engine reads (usage, quotes, registers, holds, answers of
// rails) is read here, so that all of them may have the same forms.
//
// The method: [New] recognises the compression, the encoding and the format by
// the first bytes, and reads the header line. [Reader.Column] and [Reader.Find]
// return handles for the columns that the caller needs. [Reader.Next] then
// returns one row after the other. A cell is text exactly as in the file: numbers
// are never converted to floats. docs/files.md is the manual.
//
// # Invariants
//
//   - Bounded: memory does not grow with the file. A row has at most [MaxRow]
//     bytes, whatever quotes or compression the file uses.
//   - Every row is accounted for: each is returned once, as a row or as an
//     [Error] that names the line on which it begins. A faulty row does not
//     affect the rows after it.
//   - Absent is not empty: a cell that the file does not have and a cell without
//     text are distinguished.
//   - Exact: a number is the text that the file has, with the decimal mark and
//     the thousands separators that [Options] names, or an error.
package rowfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxRow is the largest row, in bytes. A row of a CSV file with several lines has
// at most this many bytes on its first line and 64 KiB on the others.
const MaxRow = 1 << 20

// Format is the format of a file's rows.
type Format uint8

// The formats.
const (
	Detect Format = iota // by the file's name, or else by its first character
	CSV                  // RFC 4180 and its dialects
	JSON                 // one object on each line, or an array of objects
)

func (f Format) String() string {
	switch f {
	case CSV:
		return "CSV"
	case JSON:
		return "JSON"
	}
	return "any format"
}

// Options describe a file where it does not describe itself. The zero value fits
// the files that most programs write.
type Options struct {
	Name      string   // of the file, for errors and for its format; may be empty
	Format    Format   // zero means Detect
	Separator byte     // of CSV; 0 means the one of comma, semicolon, tab and bar that the header line has most of
	Comment   byte     // lines that begin with it are not rows; 0 means that every line is one
	Skip      int      // lines before the header line, or before the first row if there is no header line
	Columns   []string // names of the columns of a CSV file without a header line, in order
	Decimal   byte     // '.' or ',' in numbers; 0 means '.'
	Thousands rune     // between groups of three digits in numbers; ' ' also matches no-break spaces; 0 means none
}

func (o *Options) check() error {
	var wrong []error
	refuse := func(format string, values ...any) { wrong = append(wrong, fmt.Errorf(format, values...)) }
	for _, c := range []struct {
		name string
		is   byte
	}{{"separator", o.Separator}, {"comment", o.Comment}} {
		if c.is >= 0x80 || strings.IndexByte("\"\r\n", c.is) >= 0 {
			refuse("%s: must be one ASCII character other than a quote or a line end", c.name)
		}
	}
	switch {
	case o.Decimal != 0 && o.Decimal != '.' && o.Decimal != ',':
		refuse("decimal: must be . or ,")
	case o.Thousands != 0 && !strings.ContainsRune(",.'’_ \u00a0\u202f", o.Thousands):
		refuse("thousands: must be one of , . ' _ or a space")
	case o.Thousands != 0 && o.Thousands == rune(o.decimal()):
		refuse("thousands: %q is already the decimal mark", o.Thousands)
	}
	if o.Skip < 0 {
		refuse("skip: %d is below zero", o.Skip)
	}
	for i, name := range o.Columns {
		for _, other := range o.Columns[:i] {
			if name == other {
				refuse("columns: %q is named twice", name)
			}
		}
	}
	return errors.Join(wrong...)
}

func (o *Options) decimal() byte {
	if o.Decimal == 0 {
		return '.'
	}
	return o.Decimal
}

// Flags are [Options] in the form in which people write them, on a command line
// or in a request.
type Flags struct {
	Format    string   `help:"csv or json; detected by default." placeholder:"FORMAT" json:"format,omitempty"`
	Separator string   `help:"Separator of the fields of CSV: a character, comma, semicolon, tab or bar; detected by default." placeholder:"CHAR" json:"separator,omitempty"`
	Comment   string   `help:"Lines that begin with this character are comments." placeholder:"CHAR" json:"comment,omitempty"`
	Skip      int      `help:"Number of lines to skip before the header line." placeholder:"N" json:"skip,omitempty"`
	Columns   []string `help:"Names of the columns, if the file has no header line." placeholder:"NAME" json:"columns,omitempty"`
	Decimal   string   `help:"Decimal mark of numbers: . or comma; a point by default." placeholder:"CHAR" json:"decimal,omitempty"`
	Thousands string   `help:"Thousands separator of numbers: a character, comma, point or space; none by default." placeholder:"CHAR" json:"thousands,omitempty"`
}

// marks maps names to the characters that have one.
var marks = map[string]rune{
	"comma": ',', "semicolon": ';', "tab": '\t', `\t`: '\t', "bar": '|', "pipe": '|', "point": '.', "dot": '.',
	"space": ' ', "apostrophe": '\'', "underscore": '_', "hash": '#', "none": 0, "": 0,
}

// Options returns the options for a file with this name. The error names every
// flag that is wrong.
func (f *Flags) Options(name string) (Options, error) {
	o := Options{Name: name, Skip: f.Skip, Columns: f.Columns}
	var wrong []error
	switch strings.ToLower(f.Format) {
	case "":
	case "csv", "tsv":
		o.Format = CSV
	case "json", "jsonl", "ndjson":
		o.Format = JSON
	default:
		wrong = append(wrong, fmt.Errorf("format: %q is neither csv nor json", Clip(f.Format)))
	}
	mark := func(field, text string) rune {
		if c, named := marks[strings.ToLower(text)]; named {
			return c
		}
		c, size := utf8.DecodeRuneInString(text)
		if size != len(text) {
			wrong = append(wrong, fmt.Errorf("%s: %q is not one character", field, Clip(text)))
			return 0
		}
		return c
	}
	ascii := func(field, text string) byte {
		c := mark(field, text)
		if c >= utf8.RuneSelf {
			wrong = append(wrong, fmt.Errorf("%s: %q is not an ASCII character", field, text))
			return 0
		}
		return byte(c)
	}
	o.Separator, o.Comment = ascii("separator", f.Separator), ascii("comment", f.Comment)
	o.Decimal, o.Thousands = ascii("decimal", f.Decimal), mark("thousands", f.Thousands)
	if err := o.check(); err != nil {
		wrong = append(wrong, err)
	}
	return o, errors.Join(wrong...)
}

// Causes of an [Error] of a row.
var (
	ErrLong      = fmt.Errorf("a row has at most %d bytes", MaxRow)
	ErrMalformed = errors.New("malformed") // never returned alone: the error says how
	ErrText      = errors.New("is not UTF-8")
)

// malformed is an ErrMalformed with a description.
type malformed string

func (m malformed) Error() string        { return string(m) }
func (m malformed) Is(target error) bool { return target == ErrMalformed }

// Error says what is wrong with a file, a row or a cell, and where.
type Error struct {
	File   string // may be empty
	Line   int    // from 1; 0 if it concerns no line
	Column string // name of the column; empty if it concerns the whole row
	Row    bool   // it concerns one row or a cell in it, and reading continues with the next row; otherwise reading has ended
	Err    error
}

// Error returns "FILE: line N: COLUMN: CAUSE" without the parts that are empty.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Column != "" {
		b.WriteString(Clip(e.Column) + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// OfRow reports whether an error concerns only one row, so that reading
// continues.
func OfRow(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Row
}

// Clip shortens text from a file for an error or a log, and escapes control
// characters and broken UTF-8.
func Clip(s string) string {
	const most = 48
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return utf8.RuneError
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
