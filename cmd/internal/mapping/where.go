package mapping

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// condition is one line of where.
type condition struct {
	column   int
	operator string
	values   []value
}

// value is what a column is compared with.
type value struct {
	text     string
	number   money.Quantity
	isNumber bool // it stands without quotes and is one
}

// operators in the order in which one is looked for where several begin at the
// same place: the longer first.
var operators = []string{" not in ", " in ", " == ", " != ", " <= ", " >= ", " < ", " > "}

const conditionForm = `is not of the form COLUMN OPERATOR VALUE, with one of the operators == != < <= > >= and spaces around it, or COLUMN in VALUE, VALUE`

// conditions compiles where: one condition or a list, all of which must hold.
func (c *compiler) conditions(n *yaml.Node, field string) []condition {
	if n == nil {
		return nil
	}
	var all []condition
	for i, s := range c.list(n, field) {
		if made, ok := c.condition(n, fmt.Sprintf("%s[%d]", field, i), s); ok {
			all = append(all, made)
		}
	}
	return all
}

func (c *compiler) condition(n *yaml.Node, field, s string) (made condition, ok bool) {
	bad := func() (condition, bool) {
		c.Problem(n, field, "%q %s", s, conditionForm)
		return made, false
	}
	name, rest := "", s
	if strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s[1:], '"')
		if end < 0 {
			return bad()
		}
		name, rest = s[1:end+1], s[end+2:]
	}
	at, operator := -1, ""
	for _, o := range operators {
		if i := strings.Index(rest, o); i >= 0 && (at < 0 || i < at) {
			at, operator = i, o
		}
	}
	if at < 0 || name != "" && strings.TrimSpace(rest[:at]) != "" {
		return bad()
	}
	if name == "" {
		if name = strings.TrimSpace(rest[:at]); name == "" {
			return bad()
		}
	}
	made.operator = strings.TrimSpace(operator)
	texts := []string{strings.TrimSpace(rest[at+len(operator):])}
	if strings.HasSuffix(made.operator, "in") {
		if texts, ok = splitValues(texts[0]); !ok {
			return bad()
		}
	}
	for _, text := range texts {
		v := value{text: text}
		if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
			v.text = text[1 : len(text)-1]
		} else if q, err := money.ParseQuantity(text); err == nil {
			v.number, v.isNumber = q, true
		}
		if (made.operator[0] == '<' || made.operator[0] == '>') && !v.isNumber {
			c.Problem(n, field, "%s compares numbers, and %q is none", made.operator, v.text)
			return made, false
		}
		made.values = append(made.values, v)
	}
	made.column = c.column(n, name)
	return made, true
}

// splitValues splits at commas outside quotes.
func splitValues(s string) (all []string, ok bool) {
	quoted, from := false, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && !quoted:
			all = append(all, strings.TrimSpace(s[from:i]))
			from = i + 1
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return all, !quoted
}

// all reports whether every condition holds. They are asked in order, and the
// first that does not hold ends it: a column that is compared as a number may be
// filtered by a condition before.
func all(list []condition, r *row) (bool, *fault) {
	for i := range list {
		if holds, wrong := list[i].holds(r); !holds || wrong != nil {
			return false, wrong
		}
	}
	return true, nil
}

func (w *condition) holds(r *row) (bool, *fault) {
	got := r.get(w.column)
	if w.operator[0] == '<' || w.operator[0] == '>' {
		text, wrong := r.number(w.column)
		if wrong == nil {
			var q money.Quantity
			var err error
			if q, err = money.ParseQuantity(text); err == nil {
				return ordered(w.operator, q.Cmp(w.values[0].number)), nil
			}
			wrong = numberFault(text, err)
		}
		if wrong.reason != events.Missing {
			wrong.detail = fmt.Sprintf("the column %q is compared as a number: %s", rowfile.Clip(r.names[w.column]), wrong.detail)
		}
		return false, wrong
	}
	found := false
	for i := range w.values {
		if v := &w.values[i]; v.text == got || v.isNumber && v.equals(r, got) {
			found = true
			break
		}
	}
	return found == (w.operator == "==" || w.operator == "in"), nil
}

// equals compares as numbers.
func (v *value) equals(r *row, got string) bool {
	plain, err := r.numbers.Plain(got)
	if err != nil {
		return false
	}
	q, err := money.ParseQuantity(plain)
	return err == nil && q == v.number
}

// ordered reports whether an operator holds for a comparison.
func ordered(operator string, compared int) bool {
	switch operator {
	case "<":
		return compared < 0
	case "<=":
		return compared <= 0
	case ">":
		return compared > 0
	}
	return compared >= 0
}
