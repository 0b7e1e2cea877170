package eventlog

import (
	"strings"
	"testing"
)

func TestASubjectTokenIsOneTokenAndComesBack(t *testing.T) {
	for id, want := range map[string]string{
		"":               "%",
		"gpu-7_A":        "gpu-7_A",
		"a.b":            "a%2Eb",
		"*":              "%2A",
		">":              "%3E",
		"two words\r\n":  "two%20words%0D%0A",
		"50%":            "50%25",
		"0xAb":           "0xAb",
		"Zürich":         "Z%C3%BCrich",
		"\xff\x00":       "%FF%00",
		"$JS.API.STREAM": "%24JS%2EAPI%2ESTREAM",
	} {
		if have := SubjectToken(id); have != want {
			t.Errorf("%q is %q, want %q", id, have, want)
		}
		if back, err := ParseSubjectToken(want); err != nil || back != id {
			t.Errorf("%q comes back as %q, %v", id, back, err)
		}
	}
}

func TestWhatIsNotASubjectTokenIsRefused(t *testing.T) {
	for name, token := range map[string]string{
		"nothing":                      "",
		"a dot":                        "a.b",
		"a cut escape":                 "a%2",
		"a bare percent sign":          "a%",
		"lower-case digits":            "%2e",
		"an escape that needs none":    "%41",
		"what is not a digit":          "%G0",
		"a wildcard":                   "*",
		"an escape after the empty id": "%%",
	} {
		if id, err := ParseSubjectToken(token); err == nil {
			t.Errorf("%s: %q was read as %q", name, token, id)
		}
	}
}

func FuzzSubjectToken(f *testing.F) {
	for _, seed := range []string{"", "a", "a.b", "%", "%41", "\x00\xff", "*>", strings.Repeat("ü", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token := SubjectToken(text)
		if len(token) <= maxSubjectBytes && !validSubject(token) || strings.Contains(token, ".") {
			t.Fatalf("%q is not one valid token", token)
		}
		if back, err := ParseSubjectToken(token); err != nil || back != text {
			t.Fatalf("%q comes back as %q, %v", text, back, err)
		}
		// Canonical: what can be read is what would have been written.
		if id, err := ParseSubjectToken(text); err == nil && SubjectToken(id) != text {
			t.Fatalf("%q was read as %q, which is written %q", text, id, SubjectToken(id))
		}
	})
}
