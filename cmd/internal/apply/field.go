package apply

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// fields is a YAML mapping of which the names are known.
type fields struct {
	p     *parser
	node  *yaml.Node
	path  string // with a final point where it is not the document itself
	value map[string]*yaml.Node
}

// mapping reads a mapping whose fields all are in known. Anything else is a
// problem, and gives a mapping without fields.
func (p *parser) mapping(n *yaml.Node, path string, known ...string) fields {
	f := fields{p: p, node: n, path: path, value: p.Members(n, strings.TrimSuffix(path, "."), known...)}
	for name, value := range f.value {
		p.at[path+name] = value
	}
	return f
}

// text returns a scalar as it is written, or nothing where the field is absent.
func (f *fields) text(name string) string {
	s, _ := f.scalar(name)
	return s
}

func (f *fields) scalar(name string) (string, bool) {
	n := f.value[name]
	if n == nil {
		return "", false
	}
	return f.p.Scalar(n, f.path+name)
}

// choice reports whether a field is one of two words; absent is the second.
func (f *fields) choice(name, yes, no string) bool {
	s, ok := f.scalar(name)
	if ok && s != yes && s != no {
		f.p.Problem(f.value[name], f.path+name, "%q is neither %s nor %s", document.Clip(s), yes, no)
	}
	return ok && s == yes
}

func (f *fields) number(name string, otherwise int) int {
	s, ok := f.scalar(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%q is not a whole number", document.Clip(s))
	}
	return n
}

func (f *fields) amount(name string) money.Amount {
	s, ok := f.scalar(name)
	if !ok {
		return money.Amount{}
	}
	a, err := money.ParseAmount(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v", err)
	}
	return a
}

func (f *fields) quantity(name, otherwise string) money.Quantity {
	s, ok := f.scalar(name)
	if !ok {
		s = otherwise
	}
	q, err := money.ParseQuantity(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v", err)
	}
	return q
}

// fraction reads "2%" or "0.02".
func (f *fields) fraction(name string) money.Amount {
	s, ok := f.scalar(name)
	if !ok {
		return money.Amount{}
	}
	a, err := parseFraction(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v", err)
	}
	return a
}

func parseFraction(s string) (money.Amount, error) {
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		percent = strings.TrimSuffix(percent, " ")
		if strings.ContainsAny(percent, "eE") {
			return money.Amount{}, fmt.Errorf("%q is not a percentage such as 2.5%%", document.Clip(s))
		}
		return money.ParseAmount(percent + "e-2")
	}
	return money.ParseAmount(s)
}

// basisPoints reads a fraction that is a whole number of basis points.
func (f *fields) basisPoints(name string) int {
	s, ok := f.scalar(name)
	if !ok {
		return 0
	}
	n, err := parseBasisPoints(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v", err)
	}
	return n
}

func parseBasisPoints(s string) (int, error) {
	fraction, err := parseFraction(s)
	if err != nil {
		return 0, err
	}
	points, err := money.ParseAmount(fraction.String() + "e4")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(points.String(), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of basis points (0.01%%)", document.Clip(s))
	}
	return int(n), nil
}

// seconds reads "35d", "24h", "1h30m" or "90s".
func (f *fields) seconds(name string, otherwise int64) int64 {
	s, ok := f.scalar(name)
	if !ok {
		return otherwise
	}
	n, err := parseSeconds(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v", err)
	}
	return n
}

func parseSeconds(s string) (int64, error) {
	wrong := fmt.Errorf("%q is not a duration such as 35d, 24h, 1h30m or 90s", document.Clip(s))
	var sum int64
	rest := s
	last := int64(1 << 62) // The units must descend, so that none is there twice.
	for rest != "" {
		i := strings.IndexAny(rest, "dhms")
		if i < 1 {
			return 0, wrong
		}
		n, err := strconv.ParseUint(rest[:i], 10, 33)
		if err != nil {
			return 0, wrong
		}
		unit := map[byte]int64{'d': 86_400, 'h': 3_600, 'm': 60, 's': 1}[rest[i]]
		if unit >= last {
			return 0, wrong
		}
		last = unit
		sum += int64(n) * unit // At most 2³³ × 90,061: no overflow.
		rest = rest[i+1:]
	}
	if s == "" {
		return 0, wrong
	}
	return sum, nil
}

// instant reads RFC 3339, or a day, which begins at midnight UTC.
func (f *fields) instant(name string) time.Time {
	s, ok := f.scalar(name)
	if !ok {
		return time.Time{}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UTC() // Validate says whether it is in range.
	}
	t, err := events.ParseTime(s)
	if err != nil {
		f.p.Problem(f.value[name], f.path+name, "%v, or a day such as 2023-01-01", err)
	}
	return t
}

// items returns the values of a list, and notes their places.
func (f *fields) items(name string) []*yaml.Node {
	n := f.value[name]
	if n == nil {
		return nil
	}
	list := f.p.Items(n, f.path+name)
	for i, value := range list {
		f.p.at[document.At(f.path+name, i)] = value
	}
	return list
}

// each calls read for every item of a list that stands for a body of its own,
// until there are problems enough. The places of the fields of one item are
// forgotten with the next.
func (f *fields) each(name string, read func(item *yaml.Node, path string)) {
	items, at := f.items(name), f.p.at
	for i, item := range items {
		if f.p.Full() {
			break
		}
		f.p.at = map[string]*yaml.Node{}
		read(item, document.At(f.path+name, i))
	}
	f.p.at = at
}

// texts returns a list of scalars.
func (f *fields) texts(name string) []string {
	var list []string
	for i, n := range f.items(name) {
		if s, ok := f.p.Scalar(n, document.At(f.path+name, i)); ok {
			list = append(list, s)
		}
	}
	return list
}

// attributes returns a mapping of texts.
func (f *fields) attributes(name string) map[string]string {
	n := f.value[name]
	if n == nil {
		return nil
	}
	m := map[string]string{}
	for _, pair := range f.p.Pairs(n, f.path+name) {
		if s, ok := f.p.Scalar(pair.Value, pair.Field); ok {
			m[pair.Name] = s
			f.p.at[pair.Field] = pair.Value
		}
	}
	return m
}
