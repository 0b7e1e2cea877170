package settlement

// Identity is where an event that is not sequenced was accepted, and the
// fingerprint of its content.
type Identity struct {
	Position    uint64
	Ordinal     uint32 // in its message, through all segments
	Fingerprint uint64
}

// Before reports whether the event at that place comes after i. What is there
// or later was written by a run that did not commit, and counts as not seen.
func (i Identity) Before(position uint64, ordinal uint32) bool {
	return i.Position > 0 && (i.Position < position || i.Position == position && i.Ordinal < ordinal)
}
