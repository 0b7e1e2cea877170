package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// told is what the streams say about a distribution, besides its row.
type told struct {
	book events.Book // of its journal records
	made *events.DistributionMade
	rail events.Rail // of its planned payouts
}

// distributionsAsTold: every distribution has the name in its row that PAYOUT and
// its journal records have, and every distribution in PAYOUT has a row.
func (b *books) distributionsAsTold() (string, error) {
	all := map[uint64]*told{} // by position of the declaration
	at := func(control uint64) *told {
		if all[control] == nil {
			all[control] = &told{}
		}
		return all[control]
	}
	var order []uint64
	err := b.snapshot.PayoutMessages(func(m distribution.Outgoing) error {
		if r, err := ledger.DecodeHeader(m.Data); err == nil {
			at(r.Cut).book = r.Book
			return nil
		}
		paid, err := events.DecodePaid(m.Data)
		if err != nil {
			return nil //nolint:nilerr // a message that cannot be read names no distribution; replay compares its bytes
		}
		switch p := paid.(type) {
		case events.DistributionMade:
			at(p.Control).made = &p
			order = append(order, p.Control)
		case events.PayoutRunMade: // stored as a distribution without a period and holders
			at(p.Control).made = &events.DistributionMade{Distribution: p.Run, Token: p.Token, Control: p.Control, Void: p.Void}
			order = append(order, p.Control)
		case events.PayoutsPlanned:
			at(p.Control).rail = p.Rail
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	stored := map[uint64]bool{}
	for i := range made {
		d := &made[i]
		stored[d.Control] = true
		if detail := all[d.Control].differs(d); detail != "" {
			return detail, nil
		}
	}
	for _, control := range order {
		if m := all[control].made; m.Void == "" && !stored[control] {
			return fmt.Sprintf("distribution %s of CONTROL %d is in PAYOUT, but not in the store", m.Distribution, control), nil
		}
	}
	return "", nil
}

func (t *told) differs(d *distribution.Distribution) string {
	if t == nil || t.made == nil || t.made.Void != "" {
		return fmt.Sprintf("distribution %s of CONTROL %d is not in PAYOUT", d.ID, d.Control)
	}
	m := t.made
	switch {
	case d.ID != m.Distribution || d.Token != m.Token || d.Period != m.Period:
		return fmt.Sprintf("distribution %s of token %s for %s: in PAYOUT it is %s of token %s for %s", d.ID, d.Token, d.Period, m.Distribution, m.Token, m.Period)
	case uint64(d.Holders) != m.Holders || d.Supply != m.Supply:
		return fmt.Sprintf("distribution %s: %d holders of %v units, but in PAYOUT %d of %v", d.ID, d.Holders, d.Supply, m.Holders, m.Supply)
	case t.book != "" && t.book != d.Book:
		return fmt.Sprintf("distribution %s belongs to book %s, but its records to book %s", d.ID, d.Book, t.book)
	case t.rail != "" && t.rail != d.Rail:
		return fmt.Sprintf("distribution %s is for rail %s, but its payouts were planned for %s", d.ID, d.Rail, t.rail)
	}
	return ""
}

// distributionsAsDeclared: every distribution rests on the positions and the date
// in its declaration.
func (b *books) distributionsAsDeclared(ctx context.Context, control *eventlog.Stream) (string, error) {
	made, err := b.snapshot.Distributions("")
	if err != nil {
		return "", err
	}
	for i := range made {
		d := &made[i]
		m, err := control.Get(ctx, d.Control)
		if errors.Is(err, eventlog.ErrNotFound) {
			return fmt.Sprintf("distribution %s was declared at CONTROL %d, but there is no message", d.ID, d.Control), nil
		}
		if err != nil {
			return "", err
		}
		decision, err := events.DecodeDecision(m.Data)
		if err != nil {
			return fmt.Sprintf("distribution %s was declared at CONTROL %d: %v", d.ID, d.Control, err), nil
		}
		body, ok := decision.Body.(events.DistributionDeclared)
		if run, is := decision.Body.(events.PayoutRunDeclared); is {
			// A payout run does not rest on LEDGER, and its record date is the
			// time of the decision.
			body, ok = events.DistributionDeclared{Distribution: run.Run, Token: run.Token, RegisterSeq: run.RegisterSeq, RecordDate: decision.At}, true
		}
		switch {
		case !ok:
			return fmt.Sprintf("distribution %s was declared at CONTROL %d, which is a %s", d.ID, d.Control, decision.Body.Kind()), nil
		case body.Distribution != d.ID || body.Token != d.Token || body.Period != d.Period:
			return fmt.Sprintf("distribution %s of token %s for %s: the declaration says %s of token %s for %s", d.ID, d.Token, d.Period, body.Distribution, body.Token, body.Period), nil
		case body.LedgerSeq != d.Ledger || body.RegisterSeq != d.Register || !body.RecordDate.Equal(d.RecordDate):
			return fmt.Sprintf("distribution %s rests on LEDGER %d, REGISTER %d and the record date %s, but its declaration on LEDGER %d, REGISTER %d and %s", d.ID,
				d.Ledger, d.Register, d.RecordDate.UTC().Format(time.RFC3339Nano), body.LedgerSeq, body.RegisterSeq, body.RecordDate.UTC().Format(time.RFC3339Nano)), nil
		}
	}
	return reopenedOver(ctx, control, made)
}

// reopenedOver: no period was reopened by calling a distribution void that was made.
func reopenedOver(ctx context.Context, control *eventlog.Stream, made []distribution.Distribution) (string, error) {
	subject := eventlog.ControlSubject(events.PeriodReopened{}.Kind())
	last, err := control.GetLastFor(ctx, subject)
	if errors.Is(err, eventlog.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	reader, err := control.Read(ctx, 1, subject)
	if err != nil {
		return "", err
	}
	defer reader.Stop()
	for at := uint64(0); at < last.Seq; {
		m, err := reader.Next(ctx)
		if err != nil {
			return "", err
		}
		at = m.Seq
		decision, err := events.DecodeDecision(m.Data)
		if err != nil {
			continue // It is void everywhere.
		}
		reopened, ok := decision.Body.(events.PeriodReopened)
		if !ok {
			continue // Likewise: its subject is not that of its kind, and nothing is reopened by it.
		}
		for i := range made {
			if made[i].Control < at && slices.Contains(reopened.Void, made[i].ID) {
				return fmt.Sprintf("distribution %s was made, and CONTROL %d reopens period %s of book %s as if it were void", made[i].ID, at, reopened.Period, reopened.Book), nil
			}
		}
	}
	return "", nil
}

// sourcesWithinStreams: every source is named as in the message that contains its
// first accepted sequence.
func (b *books) sourcesWithinStreams(ctx context.Context, usage []*eventlog.Stream) (string, error) {
	sources, err := b.snapshot.Sources("")
	if err != nil {
		return "", err
	}
	var envelope events.Message
	var scratch []byte
	var columns packed.Columns
	for _, s := range sources {
		name := fmt.Sprintf("source %s of %s, epoch %d", s.Source.Source, s.Provider, s.Epoch)
		first, ok, err := b.firstOriginal(s)
		if err != nil {
			return "", err
		}
		if !ok {
			continue // None of its sequences was accepted.
		}
		stream := eventlog.OfPartition(s.Partition, usage...)
		if stream == nil {
			return fmt.Sprintf("%s was accepted in partition %d, whose stream is missing", name, s.Partition), nil
		}
		m, err := stream.Get(ctx, first.Position)
		if errors.Is(err, eventlog.ErrNotFound) {
			return fmt.Sprintf("%s: sequence %d was accepted at position %d of %s, but there is no message", name, first.Span.First, first.Position, stream.Name()), nil
		}
		if err != nil {
			return "", err
		}
		if scratch, err = envelope.Decode(m.Data, scratch); err != nil || first.Segment >= len(envelope.Segments) ||
			columns.Decode(envelope.Segments[first.Segment].Packed) != nil || !names(&columns, s, first) {
			return fmt.Sprintf("%s: sequence %d is not where it was accepted, at position %d of %s", name, first.Span.First, first.Position, stream.Name()), nil
		}
	}
	return "", nil
}

var errFirst = errors.New("the first one is enough")

func (b *books) firstOriginal(s store.SourceID) (first settlement.Original, ok bool, err error) {
	err = b.snapshot.Originals(s, func(o settlement.Original) error {
		first, ok = o, true
		return errFirst
	})
	if errors.Is(err, errFirst) {
		err = nil
	}
	return first, ok, err
}

// names reports whether a segment has a sequence of a source in the recorded
// place.
func names(c *packed.Columns, s store.SourceID, o settlement.Original) bool {
	if o.Ordinal < 0 || o.Ordinal >= c.N || !c.Sequenced || c.Provider != s.Provider {
		return false
	}
	ref := c.Sources[c.Source[o.Ordinal]]
	return c.Sequence[o.Ordinal] == o.Span.First && ref.Epoch == s.Epoch && string(c.Strings[ref.Name]) == s.Source.Source
}
