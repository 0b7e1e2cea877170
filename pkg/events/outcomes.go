package events

import (
	"bytes"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Lists of payouts have hundreds of thousands of lines. This file writes and
// reads the lines itself, inside a frame that encoding/json handles: this gives
// the same bytes in a tenth of the time.

// appendFramed appends frame, an object whose last member is an empty list, with
// the lines of list in it.
func appendFramed[L any](dst []byte, frame any, list []L, line func([]byte, *L) ([]byte, error)) ([]byte, error) {
	out, err := appendJSON(dst, frame)
	if err != nil {
		return dst, err
	}
	out = out[:len(out)-len("]}")]
	for i := range list {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = line(out, &list[i]); err != nil {
			return dst, err
		}
	}
	return append(out, "]}"...), nil
}

func appendOutcome(dst []byte, o *PayoutOutcome) ([]byte, error) {
	dst, err := appendMember(append(dst, '{'), `"payout":`, o.Payout)
	if err == nil {
		dst, err = appendMember(append(dst, ','), `"state":`, o.State)
	}
	if err == nil && o.Reference != "" {
		dst, err = appendMember(append(dst, ','), `"reference":`, o.Reference)
	}
	if err == nil && o.Holder != "" {
		dst, err = appendMember(append(dst, ','), `"holder":`, string(o.Holder))
	}
	if err == nil && o.Asset != "" {
		dst, err = appendMember(append(dst, ','), `"asset":`, string(o.Asset))
	}
	if err == nil && !o.Amount.IsZero() {
		dst, err = appendMember(append(dst, ','), `"amount":`, o.Amount.String())
	}
	return append(dst, '}'), err
}

func appendPlanned(dst []byte, p *PlannedPayout) ([]byte, error) {
	dst, err := appendMember(append(dst, '{'), `"payout":`, p.Payout)
	if err == nil {
		dst, err = appendMember(append(dst, ','), `"holder":`, string(p.Holder))
	}
	if err == nil {
		dst, err = appendMember(append(dst, ','), `"asset":`, string(p.Asset))
	}
	if err != nil {
		return dst, err
	}
	amount, err := p.Amount.MarshalText()
	dst = append(dst, `,"amount":"`...)
	return append(append(dst, amount...), `"}`...), err
}

func appendMember(dst []byte, name, value string) ([]byte, error) {
	dst = append(dst, name...)
	if plain(value) < len(value) {
		return appendJSON(dst, value)
	}
	dst = append(dst, '"')
	return append(append(dst, value...), '"'), nil
}

// plain returns how many characters at the beginning of s are written unchanged
// in JSON.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

// cutOutcomes takes the results out of the bytes of a decision that ends with
// them; the returned frame has an empty list. ok is false if there are none, or
// if they are not written exactly as [AppendDecision] does; then encoding/json
// must read or refuse them. A quote inside a text has a backslash before it, so
// the beginning of the list cannot be mistaken.
func cutOutcomes(data []byte) (frame []byte, list []PayoutOutcome, ok bool) {
	const begin, end = `,"results":[`, `]}}`
	at := bytes.Index(data, []byte(begin))
	if at < 0 || !bytes.HasSuffix(data, []byte(end)) {
		return nil, nil, false
	}
	at += len(begin)
	rest := string(data[at : len(data)-len(end)])
	list = make([]PayoutOutcome, 0, strings.Count(rest, "{"))
	for first := true; rest != ""; first = false {
		if !first && !cut(&rest, ",") {
			return nil, nil, false
		}
		var o PayoutOutcome
		if !cut(&rest, `{"payout":"`) || !cutText(&rest, &o.Payout) || !cut(&rest, `,"state":"`) || !cutText(&rest, &o.State) {
			return nil, nil, false
		}
		if cut(&rest, `,"reference":"`) && (!cutText(&rest, &o.Reference) || o.Reference == "") {
			return nil, nil, false
		}
		if !cutAgreed(&rest, &o) || !cut(&rest, "}") {
			return nil, nil, false
		}
		list = append(list, o)
	}
	frame = append(append(make([]byte, 0, at+len(end)), data[:at]...), end...)
	return frame, list, len(list) > 0
}

// cutAgreed reads the optional members of an outcome: what the rail says about
// the instruction.
func cutAgreed(rest *string, o *PayoutOutcome) bool {
	var holder, asset, amount string
	for _, m := range []struct {
		name string
		to   *string
	}{{`,"holder":"`, &holder}, {`,"asset":"`, &asset}, {`,"amount":"`, &amount}} {
		if cut(rest, m.name) && (!cutText(rest, m.to) || *m.to == "") {
			return false
		}
	}
	o.Holder, o.Asset = Holder(holder), money.Asset(asset)
	if amount == "" {
		return true
	}
	var err error
	o.Amount, err = money.ParseAmount(amount)
	return err == nil && !o.Amount.IsZero() && o.Amount.String() == amount
}

func cut(rest *string, prefix string) bool {
	after, ok := strings.CutPrefix(*rest, prefix)
	*rest = after
	return ok
}

// cutText reads a text without escapes, and the quote after it.
func cutText(rest, text *string) bool {
	n := plain(*rest)
	if n == len(*rest) || (*rest)[n] != '"' {
		return false
	}
	*text, *rest = (*rest)[:n], (*rest)[n+1:]
	return true
}
