package rowfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Plain returns a number as plain decimal text ("-1234.5"). It interprets the
// decimal mark and the thousands separator of the options. Groups must have three
// digits, the first one to three, and there must be none after the decimal mark.
// Text with neither mark is returned unchanged; the caller checks whether it is a
// number.
func (o *Options) Plain(text string) (string, error) {
	decimal := o.decimal()
	if o.Thousands == 0 && decimal == '.' {
		if strings.IndexByte(text, ',') >= 0 {
			return "", fmt.Errorf("%q has a comma: say whether it is the decimal mark or separates thousands", Clip(text))
		}
		return text, nil
	}
	var b strings.Builder
	group, groups := 0, 0 // digits of this group, and the number of separators before it
	body := strings.TrimLeft(text, "+-")
	b.WriteString(text[:len(text)-len(body)])
	for i, c := range body {
		switch {
		case c >= '0' && c <= '9':
			group++
			b.WriteByte(byte(c))
		case o.isThousands(c):
			if group == 0 || group > 3 || groups > 0 && group != 3 {
				return "", badGroup(text, c)
			}
			group, groups = 0, groups+1
		case c == rune(decimal) || c == 'e' || c == 'E':
			if groups > 0 && group != 3 {
				return "", badGroup(text, c)
			}
			if c != rune(decimal) {
				b.WriteString(body[i:])
				return b.String(), nil
			}
			fraction := body[i+utf8.RuneLen(c):]
			if strings.ContainsAny(fraction, ".,") || strings.ContainsFunc(fraction, o.isThousands) {
				return "", fmt.Errorf("%q has a separator after its decimal mark %q", Clip(text), c)
			}
			b.WriteByte('.')
			b.WriteString(fraction)
			return b.String(), nil
		default:
			return "", fmt.Errorf("%q is not a number with the decimal mark %q", Clip(text), decimal)
		}
	}
	if groups > 0 && group != 3 {
		return "", badGroup(text, o.Thousands)
	}
	return b.String(), nil
}

func badGroup(text string, c rune) error {
	return fmt.Errorf("%q has a group of digits before or after %q that is not of three", Clip(text), c)
}

func (o *Options) isThousands(c rune) bool {
	if o.Thousands == ' ' || o.Thousands == '\u00a0' || o.Thousands == '\u202f' {
		return c == ' ' || c == '\u00a0' || c == '\u202f'
	}
	return c == o.Thousands && c != 0
}
