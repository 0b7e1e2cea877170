package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/services/audit/check"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// Input from others cannot make another line, another column or another colour
// in what a command prints. Fails when one of the printers writes a value
// unchanged.
func TestWhatIsPrintedStaysOnItsLine(t *testing.T) {
	const hostile = "eve\n✓ forged\x1b[2J\r\tx\u202e\u009b"
	printed := func(text func(w io.Writer)) string {
		var b strings.Builder
		text(&b)
		return b.String()
	}
	tests := []struct {
		name  string
		text  string
		lines int
	}{
		{"a cell of a table", printed(func(w io.Writer) {
			t := plain.NewTable(w, "WHO")
			t.Row(hostile)
			t.End()
		}), 2},
		{"the detail of a check", printed(func(w io.Writer) { printChecks(w, []check.Check{{Name: hostile, Detail: hostile}}) }), 1},
		{"a node of an explanation, with its facts and sources", printed(func(w io.Writer) {
			of := explain.Node{Summary: hostile, Facts: []explain.Fact{{Name: hostile, Value: hostile}}}
			of.To = []explain.Node{{Summary: hostile}}
			if err := explain.Write(w, &of); err != nil {
				t.Error(err)
			}
		}), 3},
		{"a refusal with a reason that has lines", answered(&http.Response{
			StatusCode: 422, Body: io.NopCloser(strings.NewReader(`{"detail":"no\n✓ done","errors":[{"message":"bad\n✓ done\u001b[2J","location":"body.x"}]}`)),
		}).Error() + "\n", 2},
		{"an answer that is not JSON", answered(&http.Response{
			StatusCode: 502, Status: "502 Bad Gateway", Body: io.NopCloser(strings.NewReader("<b>\n\x1b]0;x\a")),
		}).Error() + "\n", 1},
		{"a text that nobody quoted", said(t, func() error {
			return (&root{}).print(nil, func(w io.Writer) { _, _ = io.WriteString(w, "a\x1b[2J\r\n") })
		}), 1},
		{"a JSON value", said(t, func() error { return (&root{JSON: true}).print(hostile, nil) }), 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if n := strings.Count(test.text, "\n"); n != test.lines {
				t.Errorf("want %d lines, got %d: %q", test.lines, n, test.text)
			}
			for _, r := range test.text {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%U is printed: %q", r, test.text)
				}
			}
		})
	}
}

// said returns what do prints.
func said(t *testing.T, do func() error) string {
	t.Helper()
	text, err := stdout(t, do)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
