package settlement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// AppendRuns appends the bytes of runs, version 1: the byte 1; then for each run
// the number of its events as an unsigned varint of encoding/binary, a byte that
// is the outcome, and, if that is refused, the length of the reason as a byte and
// the reason.
func AppendRuns(dst []byte, runs []Run) []byte {
	dst = append(dst, 1)
	for _, r := range runs {
		dst = binary.AppendUvarint(dst, uint64(r.Events))
		dst = append(dst, byte(r.Outcome))
		if r.Outcome == events.Refused {
			dst = append(dst, byte(len(r.Reason)))
			dst = append(dst, r.Reason...)
		}
	}
	return dst
}

var errRuns = errors.New("truncated or damaged")

// DecodeRuns reads what [AppendRuns] wrote.
func DecodeRuns(data []byte) ([]Run, error) {
	if len(data) == 0 || data[0] != 1 {
		return nil, fmt.Errorf("decoding runs: not of version 1")
	}
	var runs []Run
	for data = data[1:]; len(data) > 0; {
		n, width := binary.Uvarint(data)
		if width <= 0 || n > math.MaxInt32 || width == len(data) {
			return nil, fmt.Errorf("decoding runs: %w", errRuns)
		}
		r := Run{Events: int(n), Outcome: events.Outcome(data[width])}
		data = data[width+1:]
		if r.Outcome < events.Accepted || r.Outcome > events.Refused {
			return nil, fmt.Errorf("decoding runs: %d is not an outcome", r.Outcome)
		}
		if r.Outcome == events.Refused {
			if len(data) == 0 || len(data)-1 < int(data[0]) {
				return nil, fmt.Errorf("decoding runs: %w", errRuns)
			}
			r.Reason = events.Reason(data[1 : 1+int(data[0])])
			data = data[1+len(r.Reason):]
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// At returns the outcome of the event with this ordinal in the message, from 0.
func (o *Outcome) At(ordinal int) (Run, bool) {
	for _, r := range o.Runs {
		if ordinal < r.Events {
			return r, ordinal >= 0
		}
		ordinal -= r.Events
	}
	return Run{}, false
}
