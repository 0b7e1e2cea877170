package issue

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// Names of logs.
const (
	controlLog  = "control"
	registerLog = "register"
	ledgerLog   = "ledger"
	payoutLog   = "payout"
)

// row makes a journal row's receipt.
func (m *maker) row(row *explain.Row) error {
	m.made.Kind = receipt.OfRecord
	m.made.Record = &receipt.Record{Row: fmt.Sprintf("%s-%d", row.Writer, row.Number)}
	log, stream, ascends := ledgerLog, m.Ledger, cutOfRecord
	if row.Writer == store.DistributeWriter {
		log, stream, ascends = payoutLog, m.Payout, controlOf
	}
	return m.scan(stream, row.Cut, ascends, func(message eventlog.Message) (bool, error) {
		if !bytes.Equal(message.Data, row.Record) {
			return true, nil
		}
		return false, m.show(log, message)
	})
}

// scan calls each for the messages of a stream whose number is n, in order, until
// each returns false. The numbers ascend with the positions.
func (m *maker) scan(stream *eventlog.Stream, n uint64, number func([]byte) (uint64, error), each func(eventlog.Message) (bool, error)) error {
	last, err := stream.Last(m.ctx)
	if err != nil {
		return err
	}
	at := func(position uint64) (eventlog.Message, uint64, error) {
		message, err := stream.Get(m.ctx, position)
		if err != nil {
			return message, 0, err
		}
		found, err := number(message.Data)
		if err != nil {
			return message, 0, fmt.Errorf("position %d of %s: %w", position, stream.Name(), err)
		}
		return message, found, nil
	}
	low, high := uint64(1), last+1
	for low < high {
		middle := low + (high-low)/2
		_, found, err := at(middle)
		if err != nil {
			return err
		}
		if found < n {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for ; low <= last; low++ {
		message, found, err := at(low)
		if err != nil {
			return err
		}
		if found != n {
			break
		}
		if more, err := each(message); err != nil || !more {
			return err
		}
	}
	return fmt.Errorf("%s at %d: %w", strings.ToLower(stream.Name()), n, ErrEarly)
}

func cutOfRecord(data []byte) (uint64, error) {
	r, err := ledger.DecodeHeader(data)
	return r.Cut, err
}

// controlOf returns the position of the decision to which a message of PAYOUT
// belongs.
func controlOf(data []byte) (uint64, error) {
	if ledger.IsRecord(data) {
		return cutOfRecord(data)
	}
	message, err := events.DecodePaid(data)
	if err != nil {
		return 0, err
	}
	switch b := message.(type) {
	case events.DistributionMade:
		return b.Control, nil
	case events.PayoutRunMade:
		return b.Control, nil
	case events.PayoutsPlanned:
		return b.Control, nil
	case events.PayoutsChanged:
		return b.Control, nil
	}
	return 0, fmt.Errorf("a %s does not belong to a decision", message.Kind())
}
