package rails

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const (
	maxFileRows = 20_000_000
	maxDecision = events.MaxDecision * 3 / 4 // leaves room for the envelope
)

// Answers describes the file of a rail, as far as the file does not describe
// itself.
type Answers struct {
	rowfile.Options
	// Named maps a column (payout_id, state, reference, holder, asset or amount)
	// to its name in the file. A column that is not in the map has its own name,
	// in any case.
	Named map[string]string
}

// answerColumns are the columns that are read; the first two are required.
var answerColumns = []string{"payout_id", "state", "reference", "holder", "asset", "amount"}

// ReadConfirmations reads the answers of a rail: rows of CSV, JSON Lines or a
// JSON array, in every form that [rowfile] understands. The columns are payout_id
// and state (confirmed, failed or returned, in any case), and reference, holder,
// asset and amount, each of which may be missing, or empty in a row. Other
// columns are ignored. No payout may occur twice. Package payout checks whether
// holder, asset and amount agree with the instruction.
//
// The error names file, line and column of every fault, up to 20. A file with a
// fault gives no outcomes.
func ReadConfirmations(r io.Reader, how Answers) (list []events.PayoutOutcome, err error) {
	file, err := rowfile.New(r, how.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	a, err := answersOf(file, how.Named)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	rows := 0
	err = file.Each(func(row *rowfile.Row, _ int) error {
		rows++
		outcome, err := a.outcome(row)
		if err != nil {
			return err
		}
		if first, ok := seen[outcome.Payout]; ok {
			return row.Errorf(a.of["payout_id"], "%s is already on line %d", outcome.Payout, first)
		}
		if len(list) == maxFileRows {
			return rowfile.End(row.Errorf(rowfile.None, "more than %d payouts", maxFileRows))
		}
		seen[outcome.Payout] = row.Line()
		list = append(list, outcome)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rows == 0 {
		return nil, &rowfile.Error{File: file.Name(), Err: errors.New("the file has no payouts")}
	}
	var problems []error
	for _, name := range file.Unseen() {
		if slices.Contains(slices.Collect(maps.Values(how.Named)), name) {
			problems = append(problems, &rowfile.Error{File: file.Name(), Err: fmt.Errorf("no row has the column %q", name)})
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return list, nil
}

// answers says where the columns of a file are.
type answers struct{ of map[string]rowfile.Column }

func answersOf(file *rowfile.Reader, named map[string]string) (*answers, error) {
	a := &answers{map[string]rowfile.Column{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !slices.Contains(answerColumns, name) {
			problems = append(problems, fmt.Errorf("column %q is not one of %s", rowfile.Clip(name), strings.Join(answerColumns, ", ")))
		}
	}
	for i, name := range answerColumns {
		c, err := answerColumn(file, name, named[name], i < 2)
		if err != nil {
			problems = append(problems, err)
		}
		a.of[name] = c
	}
	return a, errors.Join(problems...)
}

func answerColumn(file *rowfile.Reader, name, called string, needed bool) (rowfile.Column, error) {
	if called != "" {
		return file.Column(called)
	}
	is := func(column string) bool { return strings.EqualFold(column, name) }
	switch {
	case needed || slices.ContainsFunc(file.Columns(), is):
		return file.Find(name, name)
	case file.Format() == rowfile.JSON: // a later row may have the column
		return file.Column(name)
	}
	return rowfile.None, nil
}

// outcome reads a row; its errors name the line and the column.
func (a *answers) outcome(row *rowfile.Row) (o events.PayoutOutcome, err error) {
	cell := func(name string) string { return strings.Clone(strings.TrimSpace(row.Text(a.of[name]))) }
	o.Payout = cell("payout_id")
	if err := events.CheckName(o.Payout); err != nil {
		return o, row.Error(a.of["payout_id"], err)
	}
	switch state := distribution.State(strings.ToLower(cell("state"))); state {
	case distribution.Confirmed, distribution.Failed, distribution.Returned:
		o.State = string(state)
	default:
		return o, row.Errorf(a.of["state"], "%q is not confirmed, failed or returned", rowfile.Clip(string(state)))
	}
	o.Reference = cell("reference")
	if err := events.CheckText(o.Reference); err != nil {
		return o, row.Error(a.of["reference"], err)
	}
	if text := cell("holder"); text != "" {
		o.Holder = events.CanonicalHolder(text)
		if err := events.CheckName(string(o.Holder)); err != nil {
			return o, row.Error(a.of["holder"], err)
		}
	}
	if text := cell("asset"); text != "" {
		o.Asset = money.Asset(text)
		if err := o.Asset.Valid(); err != nil {
			return o, row.Error(a.of["asset"], err)
		}
	}
	if cell("amount") == "" {
		return o, nil
	}
	plain, err := row.Number(a.of["amount"])
	if err != nil {
		return o, err
	}
	if o.Amount, err = money.ParseAmount(plain); err != nil {
		return o, row.Error(a.of["amount"], err)
	}
	if o.Amount.Sign() <= 0 {
		return o, row.Errorf(a.of["amount"], "%v is not above zero", o.Amount)
	}
	return o, nil
}

// Confirmations packs outcomes into as many decisions as they need.
func Confirmations(batch string, rail events.Rail, outcomes []events.PayoutOutcome) []events.PayoutsConfirmed {
	var list []events.PayoutsConfirmed
	size, first := 0, 0
	for i, o := range outcomes {
		// JSON may write one character of a text as six.
		width := len(o.Payout) + 6*(len(o.Reference)+len(o.Holder)) + len(o.Asset) + 180
		if i > first && size+width > maxDecision {
			list = append(list, events.PayoutsConfirmed{Batch: batch, Rail: rail, Results: outcomes[first:i:i]})
			size, first = 0, i
		}
		size += width
	}
	if first < len(outcomes) {
		list = append(list, events.PayoutsConfirmed{Batch: batch, Rail: rail, Results: outcomes[first:]})
	}
	for i := range list {
		list[i].Part, list[i].Parts = i, len(list)
	}
	return list
}
