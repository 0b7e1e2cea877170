package settlement

import (
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Decoded is one segment of a batch with its columns, or the reason why it could
// not be decoded.
type Decoded struct {
	events.Segment
	Columns *packed.Columns
	Err     error
}
