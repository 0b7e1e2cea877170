package money

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/published"
)

// TestDecTest runs the General Decimal Arithmetic cases.
//
// Those cases round to a number of significant digits; money rounds to a decimal
// place. The published result connects the two: the exact result, rounded at the
// place of the published exponent in the case's mode, must equal it. So every
// operand is taken as an integer coefficient, an [Amount] in attos, times a power
// of ten that the test keeps. One call of [MulDiv] or [MulDivFloor] computes the
// sum, product or quotient and rounds it at that place. So a case tests the
// arithmetic of money even if its exponents are not those of money.
//
// A case whose operands fit the range and the places of an Amount is run a second
// time "as amounts", from their text through Add, Sub, Cmp and Charge.
//
// These cases are out of range, and are counted below by reason: NaN and
// infinities (money has neither; their text must be refused); roundings by 05up
// and ties in half_up and half_down (money rounds half-even, floor and ceiling;
// cases of the other half modes count only if they are no tie, as all modes then
// agree); results cut off at the case's own largest exponent; coefficients,
// aligned sums or scaled products beyond 128 bits; and operations that money does
// not have (power, apply). Signs of zeros are not compared: money has one zero.
//
// Fails when halfEven rounds ties up, MulDivFloor goes towards zero, Add loses
// its carry, Cmp compares low words, or the parser drops zeros between digits.
func TestDecTest(t *testing.T) {
	// The counts are fixed, so that a change that silently skips more cases
	// fails.
	wantRun := map[string]int{
		"abs": 79, "add": 1737, "base": 752, "compare": 518, "divide": 495, "divideint": 247, "minus": 100,
		"multiply": 345, "plus": 109, "quantize": 567, "remainder": 369, "rounding": 730, "subtract": 572,
	}
	for _, name := range slices.Sorted(maps.Keys(wantRun)) {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(published.Path(t, "6-vectors/decTest/"+name+".decTest"))
			if err != nil {
				t.Fatal(err)
			}
			run, asAmounts, skipped := runDecTest(t, string(file))
			t.Logf("%d cases passed, %d of them also as amounts; out of range:", run, asAmounts)
			for _, reason := range slices.Sorted(maps.Keys(skipped)) {
				t.Logf("%6d %s", skipped[reason], reason)
			}
			if run != wantRun[name] {
				t.Errorf("%d cases ran, want %d", run, wantRun[name])
			}
		})
	}
}

type decCase struct {
	id, operation string
	operands      []string
	result        string
	conditions    []string
	rounding      string
}

func runDecTest(t *testing.T, file string) (run, asAmounts int, skipped map[string]int) {
	skipped = map[string]int{}
	rounding := ""
	for line := range strings.Lines(file) {
		words := decWords(line)
		if len(words) == 2 && strings.HasSuffix(words[0], ":") {
			if strings.EqualFold(words[0], "rounding:") {
				rounding = strings.ToLower(words[1])
			}
			continue
		}
		arrow := slices.Index(words, "->")
		if arrow < 3 || arrow+1 >= len(words) {
			continue
		}
		c := decCase{words[0], words[1], words[2:arrow], words[arrow+1], words[arrow+2:], rounding}
		reason, err := c.run()
		switch {
		case err != nil:
			t.Errorf("%s %s %q -> %s (%s): %v", c.id, c.operation, c.operands, c.result, c.rounding, err)
		case reason != "":
			skipped[reason]++
			continue
		}
		run++
		ran, err := c.runAsAmounts()
		if err != nil {
			t.Errorf("%s %s %q -> %s as amounts: %v", c.id, c.operation, c.operands, c.result, err)
		}
		if ran {
			asAmounts++
		}
	}
	return run, asAmounts, skipped
}

// decWords splits a line into words. Either kind of quote may contain spaces and,
// doubled, itself. A comment ends the line.
func decWords(line string) (words []string) {
	line = strings.TrimSpace(line)
	for line != "" && !strings.HasPrefix(line, "--") {
		if q := line[0]; q == '\'' || q == '"' {
			word := ""
			rest := line[1:]
			for {
				end := strings.IndexByte(rest, q)
				if end < 0 {
					return nil
				}
				word += rest[:end]
				rest = rest[end+1:]
				if rest == "" || rest[0] != q {
					break
				}
				word += string(q)
				rest = rest[1:]
			}
			words, line = append(words, word), strings.TrimSpace(rest)
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		words, line = append(words, word), strings.TrimSpace(rest)
	}
	return words
}

// scaled is coefficient × 10^exponent.
type scaled struct {
	coefficient Amount
	exponent    int
}

var (
	errSpecial = errors.New("NaN, infinity or what is no number")
	errRange   = errors.New("coefficient, aligned sum or scaled product beyond 128 bits")
	errMode    = errors.New("rounded by 05up, or a tie in half_up or half_down: modes that money does not offer")
)

// readScaled reads a decTest number without using the parser under test.
func readScaled(s string) (scaled, error) {
	mantissa, exponent := strings.ToLower(s), 0
	if m, e, ok := strings.Cut(mantissa, "e"); ok {
		n, err := strconv.Atoi(e)
		if err != nil {
			return scaled{}, errSpecial
		}
		mantissa, exponent = m, n
	}
	if whole, fraction, ok := strings.Cut(mantissa, "."); ok {
		mantissa = whole + fraction
		exponent -= len(fraction)
	}
	n, ok := new(big.Int).SetString(mantissa, 10)
	if !ok {
		return scaled{}, errSpecial
	}
	a, ok := amountOfBig(n)
	if !ok {
		return scaled{}, errRange
	}
	return scaled{a, exponent}, nil
}

// shifted returns the coefficient at a lower exponent.
func (s scaled) shifted(exponent int) (Amount, error) {
	if s.coefficient.IsZero() {
		return s.coefficient, nil
	}
	power, err := unitsPowerOfTen(s.exponent - exponent)
	if err != nil {
		return Amount{}, err
	}
	a, err := MulDiv(s.coefficient, power, UnitsOf(1))
	if err != nil {
		return Amount{}, errRange
	}
	return a, nil
}

func unitsPowerOfTen(n int) (Units, error) {
	if n < 0 || n > 38 {
		return Units{}, errRange
	}
	return ParseUnits("1" + strings.Repeat("0", n))
}

func magnitudeOf(a Amount) Units {
	m, _ := a.magnitude()
	return Units{m.hi, m.lo}
}

// round returns a × num ÷ den × 10^shift as an integer, in the case's mode.
func (c decCase) round(a Amount, num, den Units, shift int) (Amount, error) {
	if a.IsZero() {
		shift = 0
	}
	power, err := unitsPowerOfTen(max(shift, -shift))
	if err != nil {
		return Amount{}, err
	}
	if shift >= 0 {
		num, err = timesUnits(num, power)
	} else {
		den, err = timesUnits(den, power)
	}
	if err != nil {
		return Amount{}, err
	}
	floor := func(a Amount) (Amount, error) { return MulDivFloor(a, num, den) }
	ceiling := func(a Amount) (Amount, error) {
		negative, err := a.Neg()
		if err == nil {
			negative, err = floor(negative)
		}
		if err != nil {
			return Amount{}, err
		}
		return negative.Neg()
	}
	var r Amount
	switch {
	case a.IsZero() && !den.IsZero():
	case c.rounding == "floor" || c.rounding == "down" && a.Sign() > 0 || c.rounding == "up" && a.Sign() < 0:
		r, err = floor(a)
	case c.rounding == "ceiling" || c.rounding == "down" || c.rounding == "up":
		r, err = ceiling(a)
	case den.IsZero():
		r, err = MulDiv(a, num, den)
	default:
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(bigOf(a), bigOfUnits(num)), bigOfUnits(den))
		if c.rounding == "05up" && !exact.IsInt() || c.rounding != "half_even" && exact.Denom().Cmp(big.NewInt(2)) == 0 {
			return Amount{}, errMode
		}
		r, err = MulDiv(a, num, den)
	}
	if errors.Is(err, ErrOverflow) {
		err = errRange
	}
	return r, err
}

func timesUnits(a, b Units) (Units, error) {
	high, low := a.raw().mul(b.raw())
	if !high.isZero() {
		return Units{}, errRange
	}
	return Units{low.hi, low.lo}, nil
}

// run returns why the case is out of range, or how it failed.
func (c decCase) run() (reason string, err error) {
	if c.operation == "apply" || c.operation == "power" {
		return "operation that money has not: " + c.operation, nil
	}
	if strings.HasPrefix(strings.ToLower(c.operation), "to") {
		return c.runText()
	}
	operands := make([]scaled, len(c.operands))
	for i, s := range c.operands {
		if operands[i], err = readScaled(s); err != nil {
			return "operand: " + err.Error(), nil
		}
	}
	if slices.Contains(c.conditions, "Overflow") {
		return "result cut off at the case's largest exponent", nil
	}
	if slices.ContainsFunc(c.conditions, func(s string) bool { return strings.HasPrefix(s, "Division_by_zero") || s == "Division_undefined" }) {
		if _, err := c.compute(operands, 0); errors.Is(err, errRange) {
			return err.Error(), nil
		} else if !errors.Is(err, ErrDomain) {
			return "", fmt.Errorf("divided by zero: %v", err)
		}
		return "", nil
	}
	want, err := readScaled(c.result)
	if err != nil {
		return "result: " + err.Error() + ", with " + strings.Join(c.conditions, " "), nil
	}
	got, err := c.compute(operands, want.exponent)
	switch {
	case errors.Is(err, errSpecial), errors.Is(err, errRange), errors.Is(err, errMode):
		return err.Error(), nil
	case err != nil:
		return "", err
	case got != want.coefficient:
		return "", fmt.Errorf("got %v, want %v attos at 10^%d", got, want.coefficient, want.exponent)
	}
	return "", nil
}

// compute returns the integer by which 10^exponent must be multiplied.
func (c decCase) compute(x []scaled, exponent int) (Amount, error) {
	unit := UnitsOf(1)
	switch operation := strings.ToLower(c.operation); operation {
	case "abs", "plus", "minus", "quantize":
		a, err := x[0].coefficient, error(nil)
		switch operation {
		case "abs":
			a, err = a.Abs()
		case "minus":
			a, err = a.Neg()
		}
		if err != nil {
			return Amount{}, errRange
		}
		return c.round(a, unit, unit, x[0].exponent-exponent)
	case "add", "subtract", "compare", "divideint", "remainder":
		common := min(x[0].exponent, x[1].exponent)
		a, err := x[0].shifted(common)
		if err != nil {
			return Amount{}, err
		}
		b, err := x[1].shifted(common)
		if err != nil {
			return Amount{}, err
		}
		switch operation {
		case "compare":
			return Atto(int64(a.Cmp(b))), nil
		case "add":
			a, err = a.Add(b)
		case "subtract":
			a, err = a.Sub(b)
		default:
			var times, rest Amount
			if times, rest, err = truncatedQuotient(a, b); operation == "remainder" {
				a = rest
			} else {
				a, common = times, 0
			}
		}
		if errors.Is(err, ErrOverflow) {
			return Amount{}, errRange
		}
		if err != nil {
			return Amount{}, err
		}
		return c.round(a, unit, unit, common-exponent)
	case "multiply":
		a, err := signedLike(x[0].coefficient, x[1].coefficient)
		if err != nil {
			return Amount{}, errRange
		}
		return c.round(a, magnitudeOf(x[1].coefficient), unit, x[0].exponent+x[1].exponent-exponent)
	case "divide":
		a, err := signedLike(x[0].coefficient, x[1].coefficient)
		if err != nil {
			return Amount{}, errRange
		}
		return c.round(a, unit, magnitudeOf(x[1].coefficient), x[0].exponent-x[1].exponent-exponent)
	}
	return Amount{}, fmt.Errorf("unknown operation %s", c.operation)
}

// signedLike returns a with the sign of a × b.
func signedLike(a, b Amount) (Amount, error) {
	if b.Sign() < 0 {
		return a.Neg()
	}
	return a, nil
}

// truncatedQuotient divides towards zero; the rest has the sign of a.
func truncatedQuotient(a, b Amount) (times, rest Amount, err error) {
	size, err := a.Abs()
	if err != nil {
		return Amount{}, Amount{}, err
	}
	if times, err = MulDivFloor(size, UnitsOf(1), magnitudeOf(b)); err != nil {
		return Amount{}, Amount{}, err
	}
	product, err := MulDivFloor(times, magnitudeOf(b), UnitsOf(1))
	if err != nil {
		return Amount{}, Amount{}, err
	}
	if rest, err = size.Sub(product); err != nil {
		return Amount{}, Amount{}, err
	}
	if a.Sign() < 0 {
		if rest, err = rest.Neg(); err != nil {
			return Amount{}, Amount{}, err
		}
	}
	if (a.Sign() < 0) != (b.Sign() < 0) {
		times, err = times.Neg()
	}
	return times, rest, err
}

// runText runs toSci and toEng, which read a number and write it. Money writes
// its own form, so the values are compared; text that is not a finite number must
// be refused.
func (c decCase) runText() (reason string, err error) {
	got, err := ParseAmount(c.operands[0])
	want, special := readScaled(c.result)
	if errors.Is(special, errSpecial) {
		if slices.Contains(c.conditions, "Overflow") {
			return "result beyond the case's own exponents", nil
		}
		if !errors.Is(err, ErrSyntax) {
			return "", fmt.Errorf("read as %v, %v; want a refusal of its syntax", got, err)
		}
		return "", nil
	}
	switch {
	case special != nil:
		return special.Error(), nil
	case slices.Contains(c.conditions, "Inexact"):
		return "rounded on reading, which money never does", nil
	case errors.Is(err, ErrPrecision):
		return "more than 18 places", nil
	case errors.Is(err, ErrOverflow):
		return "beyond 128 bits of attos", nil
	case err != nil:
		return "", err
	}
	if e := want.exponent; got.Sign() != want.coefficient.Sign() || e < -100 || e > 40 && !got.IsZero() {
		return "", fmt.Errorf("read as %v", got)
	}
	exact := new(big.Rat).SetFrac(bigOf(got), big.NewInt(one))
	if exact.Cmp(want.rat()) != 0 {
		return "", fmt.Errorf("read as %v", got)
	}
	again, err := ParseAmount(got.String())
	if err != nil || again != got {
		return "", fmt.Errorf("%v was written as %s and read as %v, %v", got, got, again, err)
	}
	return "", nil
}

func (s scaled) rat() *big.Rat {
	r := new(big.Rat).SetInt(bigOf(s.coefficient))
	if s.coefficient.IsZero() {
		return r
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(s.exponent, -s.exponent))), nil)
	if s.exponent < 0 {
		return r.Quo(r, new(big.Rat).SetInt(power))
	}
	return r.Mul(r, new(big.Rat).SetInt(power))
}

// runAsAmounts runs a case from its text through the operations that services
// use, where its operands and its exact result are amounts.
func (c decCase) runAsAmounts() (ran bool, err error) {
	if slices.Contains(c.conditions, "Inexact") {
		return false, nil
	}
	want, err := ParseAmount(c.result)
	if err != nil {
		return false, nil
	}
	x := make([]Amount, 2)
	for i, s := range c.operands {
		if x[i], err = ParseAmount(s); err != nil {
			return false, nil
		}
	}
	var got Amount
	switch strings.ToLower(c.operation) {
	case "add":
		got, err = x[0].Add(x[1])
	case "subtract":
		got, err = x[0].Sub(x[1])
	case "minus":
		got, err = x[0].Neg()
	case "abs":
		got, err = x[0].Abs()
	case "plus":
		got = x[0]
	case "compare":
		n := x[0].Cmp(x[1])
		got, err = ParseAmount(strconv.Itoa(n))
	case "multiply", "divide":
		// A price of |b| per 1, or of 1 per |b|, charged for a.
		size, _ := x[1].Abs()
		price := Price{Amount: size, Per: Quantity{One.int128}}
		if c.operation == "divide" {
			price = Price{Amount: One, Per: Quantity{size.int128}}
		}
		var rate Rate
		if rate, err = price.Rate(One); err != nil {
			return false, nil
		}
		if got, err = rate.Charge(Quantity{x[0].int128}); err == nil {
			got, err = signedLike(got, x[1])
		}
	default:
		return false, nil
	}
	if errors.Is(err, ErrOverflow) {
		return false, nil
	}
	if err == nil && got != want {
		err = fmt.Errorf("got %v, want %v", got, want)
	}
	return true, err
}
