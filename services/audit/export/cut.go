package export

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
)

// cut is the point up to which a report is made. It limits LEDGER and PAYOUT so
// that neither rests on anything that the other lacks: a distribution that was
// declared at a position of CONTROL rests on LEDGER as it was before that.
//
// A cut at a position of LEDGER includes everything that was decided before the
// record there was cut; one at a position of PAYOUT, everything that was settled
// by then; one at a position of CONTROL, everything that both did under decisions
// up to it; one at a time, everything that the streams had then by their own time
// stamps.
type cut struct {
	ledger   uint64 // last position; 0 if another limit applies
	payout   uint64
	control  uint64 // limit for both: records under decisions up to here
	register uint64 // last position; only for the register
	time     time.Time
}

// includes reports whether a record is before the cut.
func (c *cut) includes(m *message, r *ledger.Record) bool {
	if !c.time.IsZero() {
		return !m.Time.After(c.time)
	}
	own, other := c.ledger, c.payout
	if m.of.stream.Name() == eventlog.PayoutStream {
		own, other = other, own
	}
	switch {
	case own > 0:
		return m.Seq <= own
	case other > 0 || c.control > 0:
		return r.Control <= c.control
	}
	return true
}

// parseAt reads the point that is asked for and finds it in the streams.
func (r *run) parseAt() error {
	if r.At == "" {
		return nil
	}
	if r.name == "holders" {
		return r.parseRecordDate()
	}
	if t, err := time.Parse(time.RFC3339Nano, r.At); err == nil {
		r.cut.time = t
		return nil
	}
	if stream, digits, ok := strings.Cut(r.At, ":"); ok {
		position, err := strconv.ParseUint(digits, 10, 63)
		if err == nil && position > 0 {
			return r.positionAt(strings.ToLower(stream), position)
		}
	}
	if dash := strings.LastIndexByte(r.At, '-'); dash > 0 && !strings.Contains(r.At, ":") {
		if n, err := strconv.ParseUint(r.At[dash+1:], 10, 40); err == nil && n > 0 {
			return r.rowAt(r.At[:dash], n)
		}
	}
	return wrong("at %q is not a position (ledger:12, payout:3, control:40), a journal row (settle-0-12, distribute-3) or a time (RFC 3339)", r.At)
}

func (r *run) positionAt(stream string, position uint64) error {
	within := func(s *source) error {
		if position > s.size {
			return wrong("at %s: %s ends at %d", r.At, s.stream.Name(), s.size)
		}
		return nil
	}
	switch stream {
	case "ledger":
		if err := within(r.ledger); err != nil {
			return err
		}
		m, err := r.get(r.ledger, position)
		if err != nil {
			return err
		}
		return r.cutAt(m)
	case "payout":
		if err := within(r.payout); err != nil {
			return err
		}
		return r.payoutAt(position)
	case "control":
		r.cut.control = position
		return within(r.control)
	}
	return wrong("at %s: a position must be of ledger, payout or control", r.At)
}

// cutAt cuts at a record of LEDGER or PAYOUT.
func (r *run) cutAt(m *message) error {
	record, err := ledger.DecodeHeader(m.Data)
	if err != nil {
		return fmt.Errorf("%s position %d: %w", m.of.stream.Name(), m.Seq, err)
	}
	r.cut.control = record.Control
	if m.of == r.ledger {
		r.cut.ledger = m.Seq
	} else {
		r.cut.payout = m.Seq
	}
	return nil
}

// payoutAt cuts at the last journal record that PAYOUT has at or before a
// position. Its other messages post nothing.
func (r *run) payoutAt(position uint64) error {
	for at := position; at > 0; at-- {
		m, err := r.get(r.payout, at)
		if err != nil {
			return err
		}
		if ledger.IsRecord(m.Data) {
			return r.cutAt(m)
		}
	}
	return wrong("at %s: PAYOUT has no journal row up to this position", r.At)
}

var errFound = errors.New("found")

// rowAt cuts at a journal row, by its writer and number.
func (r *run) rowAt(writer string, number uint64) error {
	found := false
	err := r.records(func(m *message, name string, n uint64) error {
		if name != writer || n != number {
			return nil
		}
		found = true
		if err := r.cutAt(m); err != nil {
			return err
		}
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return err
	}
	if !found {
		return wrong("at %s: there is no such journal row", r.At)
	}
	return nil
}

// records calls each for every record of the journal, first in LEDGER and then in
// PAYOUT, with the name of its writer and its number among that writer's rows.
func (r *run) records(each func(m *message, writer string, number uint64) error) error {
	numbers := map[string]uint64{}
	for _, s := range []*source{r.ledger, r.payout} {
		err := r.read(s, 1, s.size, func(m *message) error {
			if !ledger.IsRecord(m.Data) {
				return nil
			}
			writer := "distribute"
			if s == r.ledger {
				header, err := ledger.DecodeHeader(m.Data)
				if err != nil {
					return err
				}
				writer = fmt.Sprintf("settle-%d", header.Partition)
			}
			numbers[writer]++
			return each(m, writer, numbers[writer])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// entries calls each for every record of the journal that the cut includes.
func (r *run) entries(each func(m *message, row string, record *ledger.Record) error) error {
	return r.records(func(m *message, writer string, number uint64) error {
		record, err := ledger.DecodeRecord(m.Data)
		if err != nil {
			return err
		}
		if !r.cut.includes(m, &record) {
			return nil
		}
		return each(m, fmt.Sprintf("%s-%d", writer, number), &record)
	})
}
