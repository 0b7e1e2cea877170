package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// Each row is a way to deceive the reader of a terminal. Fails when a class of
// characters is not escaped.
func TestWhatSomebodyElseWroteIsShownOnOneLine(t *testing.T) {
	tests := []struct{ name, text, shown, word string }{
		{"a plain name stays", "po-1", "po-1", "po-1"},
		{"letters of other scripts stay", "Zoë-日本", "Zoë-日本", "Zoë-日本"},
		{"a path of Windows stays in a column", `C:\x`, `C:\x`, `"C:\\x"`},
		{"a text with spaces is quoted in a sentence", "a of provider b", "a of provider b", `"a of provider b"`},
		{"a quotation mark does not end a word", `a"b`, `a"b`, `"a\"b"`},
		{"nothing is two quotation marks", "", "", `""`},
		{"a line break", "a\n  ✓ forged", `a\n  ✓ forged`, `"a\n  ✓ forged"`},
		{"a carriage return that would overwrite the line", "bad\rgood", `bad\rgood`, `"bad\rgood"`},
		{"a tabulator that would shift a column", "a\tb", `a\tb`, `"a\tb"`},
		{"an escape sequence that clears the screen", "\x1b[2J", `\x1b[2J`, `"\x1b[2J"`},
		{"an escape sequence of one character (C1)", "a\u009b2J", `a\u009b2J`, `"a\u009b2J"`},
		{"a title of the window", "\x1b]0;x\a", `\x1b]0;x\a`, `"\x1b]0;x\a"`},
		{"backspaces", "100\b\b\b1", `100\b\b\b1`, `"100\b\b\b1"`},
		{"delete", "a\x7f", `a\x7f`, `"a\x7f"`},
		{"a mark that turns the direction", "a\u202e001", `a\u202e001`, `"a\u202e001"`},
		{"an isolate of a direction", "\u2066a\u2069", `\u2066a\u2069`, `"\u2066a\u2069"`},
		{"a line separator", "a\u2028b", `a\u2028b`, `"a\u2028b"`},
		{"a next line (NEL)", "a\u0085b", `a\u0085b`, `"a\u0085b"`},
		{"an invisible space", "a\u200bb", `a\u200bb`, `"a\u200bb"`},
		{"a space that is another one", "a\u00a0b", `a\u00a0b`, `"a\u00a0b"`},
		{"a byte order mark", "\ufeffa", `\ufeffa`, `"\ufeffa"`},
		{"what is no UTF-8", "a\xff", `a\xff`, `"a\xff"`},
		{"tags beyond the basic plane", "a\U000e0041", `a\U000e0041`, `"a\U000e0041"`},
		{"zero", "a\x00b", `a\x00b`, `"a\x00b"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := plain.Text(test.text); got != test.shown {
				t.Errorf("Text: want %s, got %s", test.shown, got)
			}
			if got := plain.Word(test.text); got != test.word {
				t.Errorf("Word: want %s, got %s", test.word, got)
			}
			if got := plain.Sprintf("<%s|%v>", test.text, errors.New(test.text)); got != "<"+test.shown+"|"+test.shown+">" {
				t.Errorf("Sprintf: got %s", got)
			}
			if got := plain.Sentence("by %s", test.text); got != "by "+test.word {
				t.Errorf("Sentence: got %s", got)
			}
		})
	}
}

func TestArgumentsKeepTheirVerbs(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"numbers", plain.Sprintf("%d %04x %v", 7, 255, uint64(9)), "7 00ff 9"},
		{"a width", plain.Sprintf("%-4s|%4s|%.2s", "a", "b", "cde"), "a   |   b|cd"},
		{"a width from an argument", plain.Sprintf("%-*s|", 3, "a"), "a  |"},
		{"a quoted text is not quoted again", plain.Sentence("%q", "a b\n"), `"a b\n"`},
		{"a type of text", plain.Sprintf("%s", json.Number("1\n")), `1\n`},
		{"a phrase of ours stays", plain.Sentence("%s, %s", plain.Phrase("a b"), "c d"), `a b, "c d"`},
		{"a list", plain.Sprintf("%v", []string{"a\n", "b"}), `[a\n b]`},
		{"lines of ours stay, and nothing else", plain.Lines("a\nb\x1b\r\n"), "a\nb\\x1b\\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("want %s, got %s", test.want, test.got)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "a\nb", "\x1b[2J", "\u202e", "\xff\xfe", `"\`, "\U000e0041\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, shown := range []string{plain.Text(s), plain.Word(s), strings.ReplaceAll(plain.Lines(s), "\n", "")} {
			for _, r := range shown {
				if !unicode.IsPrint(r) {
					t.Fatalf("%+q shows %U", s, r)
				}
			}
		}
		value := []string{s}
		data, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		safe := plain.JSON(data)
		for _, r := range string(safe) {
			if !unicode.IsPrint(r) && r != '\n' {
				t.Fatalf("%+q shows %U", s, r)
			}
		}
		var before, again []string
		if err := errors.Join(json.Unmarshal(data, &before), json.Unmarshal(safe, &again)); err != nil || !reflect.DeepEqual(before, again) {
			t.Fatalf("%q became %q, %v", before, again, err)
		}
		if utf8.ValidString(s) && plain.Text(s) == s && !bytes.Equal(safe, data) {
			t.Fatalf("harmless %q was changed", data)
		}
	})
}
