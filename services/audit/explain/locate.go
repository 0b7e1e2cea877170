package explain

import (
	"context"
	"fmt"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
)

// Place is the place of the thing that an id names: exactly one member is set.
type Place struct {
	Event  *Handle
	Row    *Row
	Payout *Payout
}

// Handle is where an event is: ordinals count through all segments, from 0.
type Handle struct {
	Partition int
	Position  uint64
	Ordinal   int
}

// Row is a journal row.
type Row struct {
	Writer string
	store.Written
}

// Payout is a payout, and its holder's share.
type Payout struct {
	distribution.Payout
	Of    distribution.Distribution
	Share distribution.Share // zero if the holder had no share and was paid an amount carried over
}

// Locate finds what an id names, as [Explain] does: an event, a journal row (of
// a posting, the row that has it) or a payout. It fails with [ErrUnknown] if
// nothing has the id, and with [ErrAmbiguous] if the id names more than one
// event.
func Locate(ctx context.Context, from Sources, id string) (place Place, err error) {
	err = from.Store.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		e := &explainer{Sources: from, ctx: ctx, snapshot: snapshot}
		place, err = e.locate(id)
		return err
	})
	if err != nil {
		return Place{}, fmt.Errorf("finding %q: %w", id, err)
	}
	return place, nil
}

func (e *explainer) locate(id string) (Place, error) {
	if h, ok := parseHandle(id); ok {
		return Place{Event: h.exported()}, nil
	}
	if strings.HasPrefix(id, "po-") {
		p, err := e.payoutCalled(id)
		if err != nil || p != nil {
			return Place{Payout: p}, err
		}
	}
	writers, err := e.snapshot.Writers()
	if err != nil {
		return Place{}, err
	}
	for _, w := range writers {
		digits, ok := strings.CutPrefix(id, w.Name+"-")
		if !ok {
			continue
		}
		if l, _, ok := parseRow(w, digits); ok {
			row, _, err := e.record(w, l.number)
			return Place{Row: &Row{w.Name, row}}, err
		}
	}
	h, err := e.identified(id)
	return Place{Event: h.exported()}, err
}

func (e *explainer) payoutCalled(id string) (*Payout, error) {
	made, err := e.snapshot.Distributions("")
	if err != nil {
		return nil, err
	}
	for i := range made {
		p, ok, err := e.snapshot.Payout(&made[i], id)
		if err != nil {
			return nil, err
		}
		if ok {
			share, _, err := e.snapshot.ShareOf(&made[i], p.Asset, p.Holder)
			return &Payout{p, made[i], share}, err
		}
	}
	return nil, nil
}

func (h handle) exported() *Handle { return &Handle{h.partition, h.position, h.ordinal} }
