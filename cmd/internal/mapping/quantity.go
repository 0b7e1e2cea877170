package mapping

import (
	"fmt"
	"math/big"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// quantity makes the quantity of an event: a text, or a calculation.
type quantity struct {
	text   text
	number *number // nil: the text
}

// number is a calculation over columns, exact: fractions are kept until its end.
type number struct {
	kind   numberKind
	column int
	value  *big.Rat // a constant
	of     []number
	unit   uint64   // of a difference of times: nanoseconds
	scale  *big.Rat // multiplies the result; nil: 1
	times  bool     // it or a part of it is a difference of times
}

type numberKind uint8

const (
	columnOf numberKind = iota
	constantOf
	productOf
	sumOf
	differenceOf // of two numbers
	intervalOf   // end − start
)

const (
	maxOperands = 16
	maxNested   = 8
)

var atto = new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)

// isNumber reports whether a quantity is written as a calculation.
func isNumber(n *yaml.Node) bool {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "product", "sum", "difference", "scale":
			return true
		}
	}
	return false
}

// quantity compiles a text or {product: [A, B]}, {sum: [A, B]}, {difference: [A, B]},
// {difference: [end, start], unit: s} and {column: A}, each with scale: N or not.
func (c *compiler) quantity(n *yaml.Node, field string) quantity {
	if !isNumber(n) {
		return quantity{text: c.text(n, field)}
	}
	made := c.number(n, field, 1)
	return quantity{number: &made}
}

func (c *compiler) number(n *yaml.Node, field string, depth int) number {
	if n.Kind == yaml.ScalarNode {
		s, _ := c.Scalar(n, field)
		return number{column: c.column(n, s)}
	}
	if depth > maxNested {
		c.Problem(n, field, "is nested deeper than %d", maxNested)
		return number{}
	}
	m := c.Members(n, field, "column", "constant", "product", "sum", "difference", "unit", "scale")
	var made number
	given := 0
	for _, kind := range []struct {
		name string
		kind numberKind
	}{{"column", columnOf}, {"constant", constantOf}, {"product", productOf}, {"sum", sumOf}, {"difference", differenceOf}} {
		v := m[kind.name]
		if v == nil {
			continue
		}
		path := document.Join(field, kind.name)
		given++
		made.kind = kind.kind
		switch kind.kind {
		case columnOf:
			s, _ := c.Scalar(v, path)
			made.column = c.column(v, s)
		case constantOf:
			made.value = c.ratio(v, path)
		case differenceOf:
			if m["unit"] != nil {
				c.interval(v, path, m["unit"], document.Join(field, "unit"), &made)
				break
			}
			fallthrough
		default:
			c.operands(v, path, depth, &made)
		}
	}
	if given != 1 {
		c.Problem(n, field, "should be one of column, constant, product, sum and difference")
	}
	if v := m["unit"]; v != nil && made.kind != intervalOf {
		c.Problem(v, document.Join(field, "unit"), "is for a difference of times, {difference: [end, start], unit: s}")
	}
	if v := m["scale"]; v != nil {
		if made.scale = c.ratio(v, document.Join(field, "scale")); made.scale != nil && made.scale.Sign() <= 0 {
			c.Problem(v, document.Join(field, "scale"), "should be above zero")
		}
	}
	return made
}

// interval compiles {difference: [end, start], unit: s}: of the times of the event.
func (c *compiler) interval(n *yaml.Node, field string, unit *yaml.Node, unitField string, made *number) {
	made.kind, made.times = intervalOf, true
	if names := c.list(n, field); len(names) != 2 || names[0] != "end" || names[1] != "start" {
		c.Problem(n, field, "with a unit it is [end, start], the times of the event; the difference of two numbers has no unit")
	}
	s, _ := c.Scalar(unit, unitField)
	if made.unit = units[s]; made.unit == 0 {
		c.Problem(unit, unitField, "should be one of ns, us, ms, s, m, h")
	}
}

func (c *compiler) operands(n *yaml.Node, field string, depth int, made *number) {
	list := c.Items(n, field)
	if n.Kind == yaml.SequenceNode && (len(list) < 2 || len(list) > maxOperands) {
		c.Problem(n, field, "should be a list of 2 to %d columns or calculations", maxOperands)
		return
	}
	if made.kind == differenceOf && len(list) > 2 {
		c.Problem(n, field, "should be a list of two: the second is taken from the first")
	}
	for i, one := range list {
		operand := c.number(one, document.At(field, i), depth+1)
		made.times = made.times || operand.times
		made.of = append(made.of, operand)
	}
}

// ratio reads "0.001" and "1/1000", each part with at most 18 decimal places.
func (c *compiler) ratio(n *yaml.Node, field string) *big.Rat {
	s, ok := c.Scalar(n, field)
	if !ok {
		return nil
	}
	above, below, divided := strings.Cut(s, "/")
	value, err := exact(strings.TrimSpace(above))
	if err == nil && divided {
		var by *big.Rat
		if by, err = exact(strings.TrimSpace(below)); err == nil && by.Sign() == 0 {
			err = money.ErrOverflow
		}
		if err == nil {
			value.Quo(value, by)
		}
	}
	if err != nil {
		c.Problem(n, field, "should be a decimal number such as 0.001, or a fraction such as 1/1000")
		return nil
	}
	return value
}

// exact reads a decimal number within the limits of a quantity.
func exact(s string) (*big.Rat, error) {
	q, err := money.ParseQuantity(s)
	if err != nil {
		return nil, err
	}
	hi, lo := q.Limbs()
	attos := new(big.Int).Lsh(big.NewInt(hi), 64)
	attos.Add(attos, new(big.Int).SetUint64(lo))
	return new(big.Rat).SetFrac(attos, atto), nil
}

// make returns the quantity of an event, whose times are set if the calculation
// needs them.
func (q *quantity) make(r *row, u *events.Usage) (money.Quantity, *fault) {
	var none money.Quantity
	var text string
	var wrong *fault
	if q.number == nil {
		text, wrong = q.text.number(r)
		if wrong == nil && text == "" {
			wrong = &fault{events.Missing, "is empty"}
		}
	} else {
		text, wrong = q.number.text(r, u)
	}
	if wrong != nil {
		return none, wrong
	}
	made, err := money.ParseQuantity(text)
	if err != nil {
		return none, numberFault(text, err)
	}
	if made.Sign() < 0 {
		return none, &fault{events.Negative, fmt.Sprintf("%q is below zero", rowfile.Clip(text))}
	}
	return made, nil
}

// text returns the result as a decimal number; what has no end in 18 places is
// refused, never rounded.
func (n *number) text(r *row, u *events.Usage) (string, *fault) {
	value, wrong := n.result(r, u)
	if wrong != nil {
		return "", wrong
	}
	if new(big.Int).Rem(atto, value.Denom()).Sign() != 0 {
		return "", &fault{events.TooPrecise, fmt.Sprintf("the result %s has more than 18 decimal places: a smaller unit may have fewer", rowfile.Clip(value.RatString()))}
	}
	text := value.FloatString(18) // All its digits, by integers.
	return strings.TrimSuffix(strings.TrimRight(text, "0"), "."), nil
}

// result calculates.
func (n *number) result(r *row, u *events.Usage) (*big.Rat, *fault) {
	var value *big.Rat
	switch n.kind {
	case columnOf:
		text, wrong := r.number(n.column)
		if wrong != nil {
			return nil, wrong
		}
		made, err := exact(text)
		if err != nil {
			wrong := numberFault(text, err)
			wrong.detail = fmt.Sprintf("the column %q: %s", rowfile.Clip(r.names[n.column]), wrong.detail)
			return nil, wrong
		}
		value = made
	case constantOf:
		value = new(big.Rat).Set(n.value)
	case intervalOf:
		value = new(big.Rat).SetFrac(big.NewInt(u.End-u.Start), new(big.Int).SetUint64(n.unit))
	default:
		for i := range n.of {
			operand, wrong := n.of[i].result(r, u)
			switch {
			case wrong != nil:
				return nil, wrong
			case i == 0:
				value = operand
			case n.kind == productOf:
				value.Mul(value, operand)
			case n.kind == sumOf:
				value.Add(value, operand)
			default:
				value.Sub(value, operand)
			}
		}
	}
	if n.scale != nil {
		value.Mul(value, n.scale)
	}
	return value, nil
}
