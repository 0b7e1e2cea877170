package rails

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const (
	maxProblems = 20 // of a file, named before reading on is given up
	maxFileRows = 20_000_000
	maxDecision = events.MaxDecision * 3 / 4 // leaves room for the envelope
)

// ReadConfirmations reads what a rail answered: a CSV file whose first line
// names its columns, in any order: payout_id, state (confirmed, failed or
// returned, in any case), and reference, holder, asset and amount, each of which
// may be absent, or empty in a row. Other columns are for the reader's eyes. No
// payout may be there twice. Whether holder, asset and amount agree with the
// instruction is for package payout.
//
// The error names line and field of everything that is wrong, up to 20; a file
// with one error gives no outcomes.
func ReadConfirmations(r io.Reader) ([]events.PayoutOutcome, error) {
	file := csv.NewReader(skipMark(r))
	file.ReuseRecord = true
	file.FieldsPerRecord = -1 // counted here, with a clearer text
	head, err := file.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line 1: the file is empty, it needs a header with payout_id and state")
	} else if err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	at := map[string]int{"payout_id": -1, "state": -1, "reference": -1, "holder": -1, "asset": -1, "amount": -1}
	var problems []error
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		before, ours := at[name]
		if !ours {
			continue
		}
		if before >= 0 {
			problems = append(problems, fmt.Errorf("line 1: column %s is there twice", name))
		}
		at[name] = i
	}
	for _, name := range []string{"payout_id", "state"} {
		if at[name] < 0 {
			problems = append(problems, fmt.Errorf("line 1: column %s is missing", name))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	columns := len(head)

	var list []events.PayoutOutcome
	seen := map[string]int{}
	for len(problems) < maxProblems {
		row, err := file.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // a quote out of place: what follows cannot be trusted
			problems = append(problems, err)
			break
		}
		line, _ := file.FieldPos(0)
		if len(row) != columns {
			problems = append(problems, fmt.Errorf("line %d: %d fields instead of %d", line, len(row), columns))
			continue
		}
		outcome, err := confirmation(row, at)
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		if first, ok := seen[outcome.Payout]; ok {
			problems = append(problems, fmt.Errorf("line %d: payout_id: %s is on line %d already", line, outcome.Payout, first))
			continue
		}
		if len(list) == maxFileRows {
			problems = append(problems, fmt.Errorf("line %d: more than %d payouts", line, maxFileRows))
			break
		}
		seen[outcome.Payout] = line
		list = append(list, outcome)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("line 2: the file has a header and no payouts")
	}
	return list, nil
}

func confirmation(row []string, at map[string]int) (o events.PayoutOutcome, err error) {
	// Cloned, because the reader reuses the row.
	o.Payout = strings.Clone(strings.TrimSpace(row[at["payout_id"]]))
	if err := events.CheckName(o.Payout); err != nil {
		return o, fmt.Errorf("payout_id: %w", err)
	}
	switch state := distribution.State(strings.ToLower(strings.TrimSpace(row[at["state"]]))); state {
	case distribution.Confirmed, distribution.Failed, distribution.Returned:
		o.State = strings.Clone(string(state))
	default:
		return o, fmt.Errorf("state: %q is not confirmed, failed or returned", clip(string(state)))
	}
	if i := at["reference"]; i >= 0 {
		o.Reference = strings.Clone(strings.TrimSpace(row[i]))
		if err := events.CheckText(o.Reference); err != nil {
			return o, fmt.Errorf("reference: %w", err)
		}
	}
	return o, agreed(row, at, &o)
}

// agreed reads what the rail says of a payout besides, to be compared.
func agreed(row []string, at map[string]int, o *events.PayoutOutcome) error {
	cell := func(name string) string {
		if i := at[name]; i >= 0 {
			return strings.Clone(strings.TrimSpace(row[i]))
		}
		return ""
	}
	if text := cell("holder"); text != "" {
		if o.Holder = events.CanonicalHolder(text); events.CheckName(string(o.Holder)) != nil {
			return fmt.Errorf("holder: %w", events.CheckName(string(o.Holder)))
		}
	}
	if text := cell("asset"); text != "" {
		if o.Asset = money.Asset(text); o.Asset.Valid() != nil {
			return fmt.Errorf("asset: %w", o.Asset.Valid())
		}
	}
	if text := cell("amount"); text != "" {
		var err error
		if o.Amount, err = money.ParseAmount(text); err != nil {
			return fmt.Errorf("amount: %w", err)
		}
		if o.Amount.Sign() <= 0 {
			return fmt.Errorf("amount: %v is not above zero", o.Amount)
		}
	}
	return nil
}

// Confirmations packs outcomes into as many decisions as they need.
func Confirmations(batch string, rail events.Rail, outcomes []events.PayoutOutcome) []events.PayoutsConfirmed {
	var list []events.PayoutsConfirmed
	size, first := 0, 0
	for i, o := range outcomes {
		// JSON writes some characters of a text as six.
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

// skipMark drops the byte order mark that spreadsheets put first.
func skipMark(r io.Reader) io.Reader {
	first := make([]byte, 3)
	n, _ := io.ReadFull(r, first) // whatever is wrong with r, it says again
	if string(first) == "\uFEFF" {
		return r
	}
	return io.MultiReader(bytes.NewReader(first[:n]), r)
}

// clip keeps hostile text out of logs.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}
