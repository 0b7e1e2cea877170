// Package rowfile reads files of rows as people have them: CSV in its dialects,
// JSON Lines, and JSON arrays of objects, plain or compressed. Every file of
// rows that the engine reads (usage, quotes, registers, holds, answers of rails)
// is read here, so that what is understood for one is understood for all.
//
// The method: [New] recognises the compression, the encoding and the format by
// the first bytes, and reads the header line; [Reader.Column] and [Reader.Find]
// turn the columns that the caller wants into handles; [Reader.Next] then gives
// one row after the other. A cell is text exactly as the file has it: numbers
// are never converted to floats. docs/files.md is the manual.
//
// # Invariants
//
//   - Bounded: memory does not grow with the file. A row has at most [MaxRow]
//     bytes, whatever a quote or a compressed file promises.
//   - Every row is accounted for: each is returned once, as a row or as an
//     [Error] that names the line on which it begins. A faulty row does not stop
//     those after it.
//   - Absent is not empty: a cell that is not in the file and a cell without
//     text are told apart.
//   - Exact: a number is the text that the file has, with the decimal mark and
//     the thousands separators that [Options] names, or an error.
package rowfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxRow is the largest row, in bytes. A row of a CSV file that goes over several
// lines has at most this many on its first line and 64 KiB on the others.
const MaxRow = 1 << 20

// Format is what the rows of a file are written in.
type Format uint8

// The formats.
const (
	Detect Format = iota // by the file's name, and where that says nothing by its first character
	CSV                  // RFC 4180 and its dialects
	JSON                 // one object a line, or an array of objects
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

// Options say what a file looks like where it does not say so itself. The zero
// value reads what most programs write.
type Options struct {
	Name      string   // the file's, for errors and for its format; may be empty
	Format    Format   // Detect: see there
	Separator byte     // of CSV; 0: comma, semicolon, tab or bar, whichever the header line has most of
	Comment   byte     // lines that begin with it are no rows; 0: every line is one
	Skip      int      // lines before the header line, or before the first row where there is none
	Columns   []string // names of the columns of a CSV file without a header line, in order
	Decimal   byte     // '.' or ',' in numbers; 0: '.'
	Thousands rune     // between groups of three digits in numbers; ' ' also stands for no-break spaces; 0: none
}

func (o *Options) check() error {
	var wrong []error
	refuse := func(format string, values ...any) { wrong = append(wrong, fmt.Errorf(format, values...)) }
	for _, c := range []struct {
		name string
		is   byte
	}{{"separator", o.Separator}, {"comment", o.Comment}} {
		if c.is >= 0x80 || strings.IndexByte("\"\r\n", c.is) >= 0 {
			refuse("%s: should be one ASCII character other than a quote or a line end", c.name)
		}
	}
	switch {
	case o.Decimal != 0 && o.Decimal != '.' && o.Decimal != ',':
		refuse("decimal: should be . or ,")
	case o.Thousands != 0 && !strings.ContainsRune(",.'’_ \u00a0\u202f", o.Thousands):
		refuse("thousands: should be one of , . ' _ or a space")
	case o.Thousands != 0 && o.Thousands == rune(o.decimal()):
		refuse("thousands: %q is the decimal mark already", o.Thousands)
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

// Flags are [Options] as people write them, on a command line or in a request.
type Flags struct {
	Format    string   `help:"csv or json; recognised by itself without it." placeholder:"FORMAT" json:"format,omitempty"`
	Separator string   `help:"Between the fields of CSV: a character, comma, semicolon, tab or bar; recognised by itself without it." placeholder:"CHAR" json:"separator,omitempty"`
	Comment   string   `help:"Lines that begin with this character are no rows." placeholder:"CHAR" json:"comment,omitempty"`
	Skip      int      `help:"Lines to leave out before the header line." placeholder:"N" json:"skip,omitempty"`
	Columns   []string `help:"Names of the columns, where the file has no header line." placeholder:"NAME" json:"columns,omitempty"`
	Decimal   string   `help:"Decimal mark of numbers: . or comma; a point without it." placeholder:"CHAR" json:"decimal,omitempty"`
	Thousands string   `help:"Thousands separator of numbers: a character, comma, point or space; none without it." placeholder:"CHAR" json:"thousands,omitempty"`
}

// marks are the characters that have a name.
var marks = map[string]rune{
	"comma": ',', "semicolon": ';', "tab": '\t', `\t`: '\t', "bar": '|', "pipe": '|', "point": '.', "dot": '.',
	"space": ' ', "apostrophe": '\'', "underscore": '_', "hash": '#', "none": 0, "": 0,
}

// Options returns what the flags say of the file with a name. The error names
// every flag that is wrong.
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
	ErrMalformed = errors.New("malformed") // never alone: the error says how
	ErrText      = errors.New("is not UTF-8")
)

// malformed is an ErrMalformed that says how.
type malformed string

func (m malformed) Error() string        { return string(m) }
func (m malformed) Is(target error) bool { return target == ErrMalformed }

// Error is what is wrong with a file, a row or a cell, and where.
type Error struct {
	File   string // may be empty
	Line   int    // from 1; 0: of no line
	Column string // name of the column; empty: of the whole row
	Row    bool   // of one row, or of a cell in it: reading goes on with the next. Otherwise it has ended.
	Err    error
}

// Error returns "FILE: line N: COLUMN: CAUSE", without what is empty.
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

// OfRow reports whether an error is of one row, so that reading goes on.
func OfRow(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Row
}

// Clip shortens a text of a file for an error or a log, and makes control
// characters and broken UTF-8 harmless.
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
