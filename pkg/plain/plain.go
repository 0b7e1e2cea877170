// Package plain makes text from other people safe to show.
//
// The method: a character that a person sees as itself is kept. Every other one
// (control characters, the escape sequences of terminals, line breaks, marks that
// change the direction of writing, invisible characters, and bytes that are not
// UTF-8) is written as in a Go string literal, such as \n, \x1b or \u202e.
// [unicode.IsPrint] decides which characters are visible.
//
// Every command prints through this package, and so does a receipt's verdict for
// every word that is not ours. [Text] is for one value on a line or in a column,
// [Word] for a value inside a sentence, [Lines] for a text of our own that has
// several lines, [JSON] for a JSON value.
//
// # Invariants
//
//   - One line: the results of [Text], [Word] and [JSON] contain no line break of
//     the value.
//   - Visible: every character of a result is printable, except for the line
//     feeds that [Lines] keeps and the white space between JSON tokens.
//   - Harmless text is returned as it is, without an allocation.
//   - [JSON] changes the spelling of a value and never the value.
package plain

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s as one line of printable characters. A string that is one
// already is returned unchanged; a backslash in s is not escaped.
func Text(s string) string {
	if isSeen(s, false) {
		return s
	}
	return escape(s, false)
}

// Lines does the same as [Text] but keeps line feeds.
func Lines(s string) string {
	if isSeen(s, true) {
		return s
	}
	return escape(s, true)
}

// Word returns s in a form that cannot be mistaken for a part of the sentence
// around it: unchanged if it is one word of printable characters, and otherwise
// in double quotes, as a Go string literal.
func Word(s string) string {
	if s != "" && isSeen(s, false) && !strings.ContainsAny(s, " \"\\") {
		return s
	}
	return strconv.Quote(s)
}

// JSON returns valid JSON text in whose strings every character that is not
// printable is a \u escape.
func JSON(data []byte) []byte {
	if isSeen(string(data), true) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		// Outside of strings JSON text is ASCII, and inside of them the
		// characters below space are already escaped.
		case r < utf8.RuneSelf && r != 0x7f, size > 1 && unicode.IsPrint(r):
			out = append(out, data[:size]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[size:]
	}
	return out
}

// Sprintf is [fmt.Sprintf] with every argument made safe by [Text]. The format is
// a constant of the program and is not changed.
func Sprintf(format string, args ...any) string { return fmt.Sprintf(format, safe(args, Text)...) }

// Fprintf is [fmt.Fprintf] with every argument made safe by [Text]. It returns no
// error: it is for writers that remember their error.
func Fprintf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, safe(args, Text)...)
}

// Sentence is [fmt.Sprintf] with every argument made safe by [Word], except for
// those of type [Phrase].
func Sentence(format string, args ...any) string { return fmt.Sprintf(format, safe(args, Word)...) }

// Phrase is a part of a sentence that [Sentence] made, or a constant of the
// program.
type Phrase string

func safe(args []any, by func(string) string) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case Phrase:
			out[i] = string(a)
		case int: // may be the width of the next argument
			out[i] = a
		default:
			out[i] = argument{a, by}
		}
	}
	return out
}

// argument is a value that is made safe when it is formatted.
type argument struct {
	value any
	by    func(string) string
}

// Format implements [fmt.Formatter].
func (a argument) Format(state fmt.State, verb rune) {
	text := fmt.Sprintf(fmt.FormatString(state, verb), a.value)
	if verb != 'q' || !isSeen(text, false) { // %q has already quoted and escaped it.
		text = a.by(text)
	}
	_, _ = io.WriteString(state, text) // The state remembers the error.
}

// isSeen reports whether every character is printable, or a line feed if lines is
// true.
func isSeen(s string, lines bool) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f || lines && c == '\n' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if c < utf8.RuneSelf || r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		i += size
	}
	return true
}

func escape(s string, lines bool) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch one := s[:size]; {
		case lines && r == '\n', isSeen(one, false):
			b.WriteString(one)
		default:
			quoted := strconv.Quote(one)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
