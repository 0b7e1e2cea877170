package events

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of things are opaque to aliquot: 1 to [MaxName] bytes of printable
// UTF-8 without white space. They are compared byte for byte.
type (
	Provider string // who runs nodes and emits usage
	Book     string // the nodes, cards and customers' money of one provider; its events are processed in order
	Node     string // what does the work
	Customer string // who pays
	Meter    string // what is measured, such as "gpu.seconds"
	Token    string // a right to the revenue of nodes
	Holder   string // who owns units of a token, in the form that [ParseHolder] returns
	Card     string // a rate card; its versions are numbered
	Rail     string // a way to pay, such as "csv"
	Actor    string // who decided: "operator:alice", "provider:acme"
	Period   string // a label made by [Calendar]: "2026-11" or "2026-11-22"
	Pair     string // asset/currency of a quote, such as "USDC/USD"
)

// MaxName is the longest name, in bytes.
const MaxName = 128

// CheckName returns why s cannot be a name, or nil.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("name is empty")
	case len(s) > MaxName:
		return fmt.Errorf("name has %d bytes, more than %d", len(s), MaxName)
	case !utf8.ValidString(s):
		return fmt.Errorf("name is not UTF-8")
	}
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return fmt.Errorf("name has the character %U", r)
		}
	}
	return nil
}

// Split returns the two sides of "USDC/USD"; ok is false unless there are two.
func (p Pair) Split() (asset, currency string, ok bool) {
	asset, currency, ok = strings.Cut(string(p), "/")
	return asset, currency, ok && asset != "" && currency != "" && !strings.Contains(currency, "/")
}
