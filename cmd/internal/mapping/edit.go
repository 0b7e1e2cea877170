package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
)

// edits are the functions that a text goes through, in this order.
type edits struct {
	trim    bool
	replace *strings.Replacer // nil: none
	lower   bool
	slug    bool
	shorten int // bytes; 0: not
}

var editNames = []string{"trim", "replace", "lower", "slug", "shorten"}

// Limits of shorten: a prefix of 7 characters and the hash, and the longest name.
const (
	minShort = 24
	maxShort = 128
	hashed   = 1 + 16 // what stands for the rest: a dash and hexadecimal digits
)

// edits compiles the functions of a text; nil: there are none.
func (c *compiler) edits(m map[string]*yaml.Node, field string) *edits {
	if !slices.ContainsFunc(editNames, func(name string) bool { return m[name] != nil }) {
		return nil
	}
	e := &edits{trim: c.yes(m["trim"], document.Join(field, "trim")), lower: c.yes(m["lower"], document.Join(field, "lower")), slug: c.yes(m["slug"], document.Join(field, "slug"))}
	if v := m["replace"]; v != nil {
		path := document.Join(field, "replace")
		pairs := c.Pairs(v, path)
		if v.Kind == yaml.MappingNode && (len(pairs) == 0 || len(pairs) > 32) {
			c.Problem(v, path, "has %d members, and should have 1 to 32", len(pairs))
		}
		var replacements []string
		for _, pair := range pairs {
			if pair.Name == "" {
				c.Problem(pair.At, path, "an empty text cannot be replaced")
				continue
			}
			if to, ok := c.Scalar(pair.Value, pair.Field); ok {
				replacements = append(replacements, pair.Name, to)
			}
		}
		e.replace = strings.NewReplacer(replacements...)
	}
	if v := m["shorten"]; v != nil {
		s, _ := c.Scalar(v, document.Join(field, "shorten"))
		n, err := strconv.Atoi(s)
		if err != nil || n < minShort || n > maxShort {
			c.Problem(v, document.Join(field, "shorten"), "should be a number of bytes from %d to %d", minShort, maxShort)
		}
		e.shorten = n
	}
	return e
}

func (e *edits) apply(s string) string {
	if e.trim {
		s = strings.TrimSpace(s)
	}
	if e.replace != nil {
		s = e.replace.Replace(s)
	}
	if e.lower {
		s = strings.ToLower(s)
	}
	if e.slug {
		s = slug(s)
	}
	if e.shorten > 0 {
		s = shorten(s, e.shorten)
	}
	return s
}

// slug returns the letters and digits in lower case, with points and underscores,
// and a dash for everything between them.
func slug(s string) string {
	var b strings.Builder
	dash := false
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '.' && c != '_' {
			dash = b.Len() > 0
			continue
		}
		if dash {
			b.WriteByte('-')
			dash = false
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// shorten returns a text of at most so many bytes: itself, or its beginning, a
// dash, and the first 8 bytes of its SHA-256 in hexadecimal, so that two texts
// with one beginning stay two.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	keep := most - hashed
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return strings.TrimRight(s[:keep], "-") + "-" + hex.EncodeToString(sum[:8])
}
