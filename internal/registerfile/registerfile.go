// Package registerfile reads the files of registers and screening lists: rows
// of CSV or JSON, and text with one holder on each line.
//
// Files are read as a stream, whatever their size. Of each line only a hash of
// 16 bytes is kept, to find holders that occur twice.
//
// # Invariants
//
//   - All or nothing: the holdings of a file with an error must not be used;
//     the error names line and field of each fault, up to 20.
//   - Exact: units are decimal integers of up to 128 bits, never a float.
package registerfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var (
	holderColumns = []string{"holder", "account", "address", "wallet", "holderaddress"}
	unitsColumns  = []string{"units", "amount_wei", "amount", "balance"}
)

// Summary is the content of a register file in figures.
type Summary struct {
	Holders int         // lines with units
	Empty   int         // lines with zero units, which are ignored
	Zero    money.Units // units of the zero address, if they were left out on request
	Supply  money.Units // sum of all other units
}

// Options say how a register file is read.
type Options struct {
	Rows          rowfile.Options
	Holder, Units string // names of the columns; if empty, the known names
	// Decimals are the decimal places of the token, 0 to 38: the file counts
	// whole tokens of 10^Decimals units each. With 0 it counts units.
	Decimals int
	// LeaveOutZero leaves out the line of the zero address, which owns nothing,
	// instead of refusing it.
	LeaveOutZero bool
	// ExpectedSupply is the sum that the units must have; nil accepts every
	// sum.
	ExpectedSupply *money.Units
}

// ReadHoldings reads a register: rows of CSV or JSON, one holder in each row.
// The column of holders is called holder, account, address, wallet or
// HolderAddress (as explorers call it), and the column of units is called
// units, amount_wei, amount or balance, in upper or lower case and in any
// order. There must be exactly one of each. Other columns are ignored. Every
// holder is brought to its normal form (see [events.ParseHolder]); a holder
// that occurs twice is refused, even if it is written in different ways.
//
// each is called for every line with units, in the order of the file. If
// ReadHoldings returns an error, the file must not be used, and everything that
// each received must be dropped. An error of each ends the reading and is
// returned.
func ReadHoldings(r io.Reader, o Options, each func(events.Holder, money.Units) error) (Summary, error) {
	var sum Summary
	rows, err := rowfile.New(r, o.Rows)
	if err != nil {
		return sum, err
	}
	holderAt, err1 := find(rows, "holder", o.Holder, holderColumns)
	unitsAt, err2 := find(rows, "units", o.Units, unitsColumns)
	if err := errors.Join(err1, err2); err != nil {
		return sum, err
	}
	seen := seen{}
	err = rows.Each(func(row *rowfile.Row, faults int) error {
		line := row.Line()
		holder, err := events.ParseHolder(row.Text(holderAt))
		var units money.Units
		if err != nil {
			err = fmt.Errorf("holder: %w", err)
		} else {
			units, err = o.count(row, unitsAt)
		}
		if err != nil && o.LeaveOutZero && events.IsZeroAddress(row.Text(holderAt)) {
			if units, err = o.count(row, unitsAt); err == nil {
				sum.Zero, err = sum.Zero.Add(units)
			}
			if err == nil {
				return nil
			}
		}
		if err == nil {
			if first, again := seen.add(holder, line); again {
				err = fmt.Errorf("%s: %s is already on line %d", "holder", rowfile.Clip(string(holder)), first)
			}
		}
		if err == nil && !units.IsZero() {
			if sum.Supply, err = sum.Supply.Add(units); err != nil {
				err = fmt.Errorf("units: the supply does not fit 128 bits: %w", err)
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("line %d: %w", line, err)
		case units.IsZero():
			sum.Empty++
		default:
			sum.Holders++
			if faults > 0 {
				return nil // the file is already faulty
			}
			if err := each(holder, units); err != nil {
				return rowfile.End(err)
			}
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	if want := o.ExpectedSupply; want != nil && *want != sum.Supply {
		return sum, fmt.Errorf("the units sum to %v, %s", sum.Supply, difference(sum.Supply, *want))
	}
	if sum.Holders == 0 {
		return sum, fmt.Errorf("line 2: the file has a header and no holder with units")
	}
	return sum, nil
}

// find returns the column that the options name, or the one that has a known
// name.
func find(rows *rowfile.Reader, what, named string, names []string) (rowfile.Column, error) {
	if named != "" {
		return rows.Column(named)
	}
	return rows.Find(what, names...)
}

// count reads the units of a row: a whole number, or a number with at most as
// many decimal places as the token has.
func (o *Options) count(row *rowfile.Row, at rowfile.Column) (money.Units, error) {
	text := row.Text(at)
	if text == "" {
		return money.Units{}, errors.New("units: is empty")
	}
	plain, err := o.Rows.Plain(text)
	if err != nil {
		return money.Units{}, fmt.Errorf("units: %w", err)
	}
	units, err := o.parseUnits(plain)
	if err != nil {
		return money.Units{}, fmt.Errorf("units: %w", err)
	}
	return units, nil
}

// parseUnits reads a plain number of whole tokens as units.
func (o *Options) parseUnits(text string) (money.Units, error) {
	if o.Decimals == 0 {
		return money.ParseUnits(text)
	}
	whole, fraction, point := strings.Cut(text, ".")
	if point && (fraction == "" || strings.Trim(fraction, "0123456789") != "") {
		return money.Units{}, fmt.Errorf("%q is not a decimal number", rowfile.Clip(text))
	}
	if fraction = strings.TrimRight(fraction, "0"); len(fraction) > o.Decimals {
		return money.Units{}, fmt.Errorf("%q has %d decimal places, more than the %d of the token", rowfile.Clip(text), len(fraction), o.Decimals)
	}
	if whole == "" || strings.Trim(whole, "0123456789") != "" {
		return money.Units{}, fmt.Errorf("%q is not a decimal number", rowfile.Clip(text))
	}
	digits := strings.TrimLeft(whole+fraction+strings.Repeat("0", o.Decimals-len(fraction)), "0")
	if digits == "" {
		digits = "0"
	}
	return money.ParseUnits(digits)
}

// ParseSupply reads the expected sum of the units of a file, in the form in
// which the file writes units; thousands separators may be missing.
func (o *Options) ParseSupply(text string) (money.Units, error) {
	number, err := o.Rows.Plain(text)
	if err != nil {
		return money.Units{}, err
	}
	return o.parseUnits(number)
}

// difference describes how far a sum is from the expected one.
func difference(got, want money.Units) string {
	if over, err := got.Sub(want); err == nil {
		return fmt.Sprintf("%v more than the expected %v", over, want)
	}
	under, _ := want.Sub(got) // got is the smaller one
	return fmt.Sprintf("%v fewer than the expected %v", under, want)
}

// seen remembers on which line each holder was. Sixteen bytes of SHA-256
// represent the name: a false duplicate among 10 million is as likely as 1 in
// 10²⁴.
type seen map[[16]byte]uint32

func (s seen) add(holder events.Holder, line int) (first uint32, again bool) {
	sum := sha256.Sum256([]byte(holder))
	key := [16]byte(sum[:16])
	if first, again = s[key]; again {
		return first, true
	}
	s[key] = uint32(min(line, 1<<32-1)) //nolint:gosec // bounded
	return 0, false
}
