package packed

import (
	"bytes"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
)

// Set fills r with the values of u. The byte slices are copies, in r's own
// memory if it is large enough, so r must have been filled only by Set. It
// fails if the quantity is negative.
func (r *RawUsage) Set(u *events.Usage) error {
	hi, lo, scale, err := u.Quantity.Mantissa()
	if err != nil {
		return fmt.Errorf("packing an event: %w", err)
	}
	attributes := r.Attributes[:0]
	for _, a := range u.Attributes {
		attributes = append(attributes, RawAttribute{[]byte(a.Name), []byte(a.Value)})
	}
	*r = RawUsage{
		Source: append(r.Source[:0], u.Source...), ID: append(r.ID[:0], u.ID...),
		Epoch: u.Epoch, Sequence: u.Sequence, Sequenced: u.Sequenced,
		Node: append(r.Node[:0], u.Node...), Customer: append(r.Customer[:0], u.Customer...),
		Meter:        append(r.Meter[:0], u.Meter...),
		QuantityHigh: hi, QuantityLow: lo, Scale: scale,
		Start: u.Start, End: u.End, Attributes: attributes,
		Replaces: append(r.Replaces[:0], u.Replaces...), Retracts: append(r.Retracts[:0], u.Retracts...),
	}
	return nil
}

// Check returns why r cannot be packed, or nil. Id and source must be present
// and within their limits, names must be valid, attributes must ascend, the
// interval must be valid, and the event must not both replace and retract.
func (r *RawUsage) Check() *Fault {
	if f := checkLength("id", r.ID, MaxID); f != nil && !(r.Sequenced && len(r.ID) == 0) {
		return f
	}
	if f := checkLength("source", r.Source, MaxSource); f != nil {
		return f
	}
	if f := checkName("data.node", r.Node); f != nil {
		return f
	}
	if f := checkName("data.customer", r.Customer); f != nil {
		return f
	}
	if f := checkName("data.meter", r.Meter); f != nil {
		return f
	}
	if r.Start < 0 || r.End < r.Start {
		return &Fault{"data.start", events.BadInterval, "start is after end"}
	}
	if len(r.Attributes) > events.MaxAttributes {
		return &Fault{"data.attributes", events.TooLarge, fmt.Sprintf("more than %d", events.MaxAttributes)}
	}
	for i, a := range r.Attributes {
		if i > 0 && bytes.Compare(r.Attributes[i-1].Name, a.Name) >= 0 {
			return &Fault{"data.attributes", events.Malformed, "not ascending by name"}
		}
		if len(a.Name) > events.MaxAttributeName || len(a.Value) > events.MaxText {
			return &Fault{Shown("data.attributes.", a.Name), events.TooLong, "name or value"}
		}
		if problem := chars.NameProblem(a.Name); problem != "" {
			return &Fault{Shown("data.attributes.", a.Name), events.BadText, problem}
		}
		if problem := chars.Problem(a.Value); problem != "" {
			return &Fault{Shown("data.attributes.", a.Name), events.BadText, problem}
		}
	}
	return r.checkAmends()
}

func (r *RawUsage) checkAmends() *Fault {
	if len(r.Replaces)+len(r.Retracts) == 0 {
		return nil
	}
	if len(r.Replaces) > 0 && len(r.Retracts) > 0 {
		return &Fault{"data.retracts", events.Malformed, "an event replaces another or takes it back, not both"}
	}
	field, id := "data.replaces", r.Replaces
	if len(r.Retracts) > 0 {
		field, id = "data.retracts", r.Retracts
	}
	return checkLength(field, id, MaxID)
}

func checkLength(field string, text []byte, limit int) *Fault {
	switch {
	case len(text) == 0:
		return &Fault{field, events.Missing, "absent or empty"}
	case len(text) > limit:
		return &Fault{field, events.TooLong, fmt.Sprintf("%d bytes, more than %d", len(text), limit)}
	}
	if problem := chars.Problem(text); problem != "" {
		return &Fault{field, events.BadText, problem}
	}
	return nil
}

func checkName(field string, name []byte) *Fault {
	if chars.IsPlainName(name) {
		return nil
	}
	switch {
	case len(name) == 0:
		return &Fault{field, events.Missing, "absent or empty"}
	case len(name) > events.MaxName:
		return &Fault{field, events.TooLong, fmt.Sprintf("%d bytes, more than %d", len(name), events.MaxName)}
	}
	if problem := chars.NameProblem(name); problem != "" {
		return &Fault{field, events.BadText, problem}
	}
	return nil
}
