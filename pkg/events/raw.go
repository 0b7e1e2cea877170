package events

import "fmt"

// Set fills r with what u says. The byte slices are copies, r's own where they
// are large enough: so use an r that only Set has filled. It fails where the quantity is negative.
func (r *RawUsage) Set(u *Usage) error {
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
