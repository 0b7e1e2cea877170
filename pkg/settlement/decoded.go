package settlement

import "github.com/aliquot-engine/aliquot/pkg/events"

// Decoded is one segment of a batch with its columns, or the reason why it could
// not be decoded.
type Decoded struct {
	events.Segment
	Columns *events.Columns
	Err     error
}
