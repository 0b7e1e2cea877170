package events

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Problem is one fault of one field of a decision.
type Problem struct {
	Field  string `json:"field"` // path in the JSON of the body, such as "rules[1].price"
	Detail string `json:"detail"`
}

// Problems is all faults of a decision, in the order of its fields. It is an
// error, so that Validate can return all of them at once; as an error it is
// never empty.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	for i, one := range p {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.Field + ": " + one.Detail)
	}
	return b.String()
}

// orNil prevents an empty list from becoming a non-nil error.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

func (p *Problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (p *Problems) name(field, s string) {
	if err := CheckName(s); err != nil {
		p.add(field, "%v", err)
	}
}

func (p *Problems) holder(field string, h Holder) {
	if err := CheckHolder(h); err != nil {
		p.add(field, "%v", err)
	}
}

// optionalName allows the empty name as well.
func (p *Problems) optionalName(field, s string) {
	if s != "" {
		p.name(field, s)
	}
}

// text checks a text for people, which may have spaces: a label, reason or
// reference.
func (p *Problems) text(field, s string) {
	if err := CheckText(s); err != nil {
		p.add(field, "%v", err)
	}
}

func (p *Problems) asset(field string, a money.Asset) {
	if err := a.Valid(); err != nil {
		p.add(field, "%v", err)
	}
}

// payable also requires a known minor unit, because money is paid in it.
func (p *Problems) payable(field string, a money.Asset) {
	if _, err := a.Decimals(); err != nil {
		p.add(field, "%v", err)
	}
}

func (p *Problems) pair(field string, pair Pair) {
	asset, currency, ok := pair.Split()
	if !ok {
		p.add(field, "pair %q is not of the form ASSET/CURRENCY", Clip(string(pair)))
		return
	}
	p.payable(field, money.Asset(asset))
	p.asset(field, money.Asset(currency))
	if asset == currency {
		p.add(field, "pair %q has the same asset on both sides", pair)
	}
}

func (p *Problems) notNegative(field string, sign int) {
	if sign < 0 {
		p.add(field, "is negative")
	}
}

// quantity checks that a quantity is not below zero and not above
// [LargestQuantity].
func (p *Problems) quantity(field string, q money.Quantity) {
	p.notNegative(field, q.Sign())
	if q.Cmp(LargestQuantity) > 0 {
		p.add(field, "%v is above %v", q, LargestQuantity)
	}
}

func (p *Problems) seconds(field string, n int64) {
	if n < 0 || n > maxSeconds {
		p.add(field, "%d seconds is not between 0 and 100 years", n)
	}
}

// time checks that the nanoseconds since 1970 of an instant fit 63 bits.
func (p *Problems) time(field string, t time.Time) {
	if t.Before(firstInstant) || t.After(lastInstant) {
		p.add(field, "%s is not between 1970 and 2262", t.UTC().Format(time.RFC3339))
	}
}

func (p *Problems) part(part, parts int) {
	if parts < 1 || parts > maxParts {
		p.add("parts", "%d is not between 1 and %d", parts, maxParts)
	}
	if part < 0 || part >= parts {
		p.add("part", "%d is not between 0 and parts - 1", part)
	}
}

func (p *Problems) attributes(field string, m map[string]string) {
	if len(m) > MaxAttributes {
		p.add(field, "%d attributes are more than %d", len(m), MaxAttributes)
	}
	for _, name := range sortedKeys(m) {
		if len(name) > MaxAttributeName {
			p.add(field, "attribute name %q has %d bytes, more than %d", Clip(name), len(name), MaxAttributeName)
		} else if err := CheckName(name); err != nil {
			p.add(field, "attribute %q: %v", Clip(name), err)
		}
		if err := CheckText(m[name]); err != nil {
			p.add(field+"."+Clip(name), "%v", err)
		}
	}
}

// Limits of a decision. They are part of the contract: a decision that exceeds
// one is refused before it reaches a stream.
const (
	MaxAttributes    = 32        // attributes of a node, an event or a rule
	MaxAttributeName = 64        // bytes
	MaxText          = 256       // bytes of an attribute's value, a label, a reason or a reference
	MaxRules         = 4_096     // rules of a card
	MaxDecision      = 512 << 10 // bytes of an encoded decision

	maxSeconds = 100 * 365 * 24 * 60 * 60
	maxParts   = 10_000
)

var (
	firstInstant = time.Unix(0, 0)
	lastInstant  = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// CheckText returns why s cannot be a text for people, or nil. Such a text has
// at most [MaxText] bytes of printable UTF-8, may have spaces and may be empty.
func CheckText(s string) error {
	switch {
	case len(s) > MaxText:
		return fmt.Errorf("text has %d bytes, more than %d", len(s), MaxText)
	case !utf8.ValidString(s):
		return fmt.Errorf("text is not UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("text has the character %U", r)
		}
	}
	return nil
}

// Clip keeps hostile text out of logs.
func Clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}
