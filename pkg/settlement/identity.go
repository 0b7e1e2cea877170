package settlement

// Identity is the place where an event without a sequence was accepted, with the
// fingerprint of its content.
type Identity struct {
	Position    uint64
	Ordinal     uint32 // in its message, counted through all segments
	Fingerprint uint64
}

// Before reports whether the event at that place comes after i. An identity at
// that place or later was written by a run that did not commit, and counts as
// unknown.
func (i Identity) Before(position uint64, ordinal uint32) bool {
	return i.Position > 0 && (i.Position < position || i.Position == position && i.Ordinal < ordinal)
}
