package distribute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/register"
)

// look reads the new messages of LEDGER, without waiting.
func (d *Distributor) look(ctx context.Context) error {
	for range perLook {
		m, ok, err := d.ledger.TryNext()
		if err != nil {
			return fmt.Errorf("reading %s: %w", d.config.Ledger.Name(), err)
		}
		if !ok || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := d.settled(m); err != nil {
			return err
		}
	}
	return nil
}

// due reports whether so much of LEDGER was read that it is committed without a
// decision.
func (d *Distributor) due() bool {
	return len(d.step.Handovers)+len(d.step.Settlements) > 0 ||
		d.step.Ledger.Position-d.committed.Ledger.Position >= perMark
}

// follow reads LEDGER up to and including a position, and commits what it found.
func (d *Distributor) follow(ctx context.Context, through uint64) error {
	if err := d.await(ctx, d.config.Ledger, through); err != nil {
		return err
	}
	for d.step.Ledger.Position < through {
		m, err := d.ledger.Next(ctx)
		if err != nil {
			return fmt.Errorf("reading %s: %w", d.config.Ledger.Name(), err)
		}
		if err := d.settled(m); err != nil {
			return err
		}
	}
	if d.step.Ledger != d.committed.Ledger {
		return d.commit(ctx)
	}
	return nil
}

// await waits until a stream has a position. A declaration that names a
// position which never comes delays the distributions after it. To call it void
// instead would make the outcome depend on timing, and replay would have a
// different result.
func (d *Distributor) await(ctx context.Context, s *eventlog.Stream, position uint64) error {
	warned := false
	return retry.Until(ctx, poll, func() (bool, error) {
		last, err := s.Last(ctx)
		if err != nil && !eventlog.Unavailable(err) {
			return false, err
		}
		if err == nil && last >= position {
			return true, nil
		}
		if !warned {
			d.log.WarnContext(ctx, "waiting for a position that a declaration names", "stream", s.Name(), "position", position, "last", last)
			warned = true
		}
		return false, nil
	})
}

// inboxPart is how the name of every token's inbox ends. A record whose bytes
// do not contain it credits no inbox, and most records do not.
var inboxPart = []byte(ledger.Inbox.Suffix())

// settled keeps what a record of LEDGER says about inboxes and periods.
func (d *Distributor) settled(m eventlog.Message) error {
	head, err := ledger.DecodeHeader(m.Data)
	if err != nil {
		return fmt.Errorf("%s position %d: %w", d.config.Ledger.Name(), m.Seq, err)
	}
	for _, period := range head.Settled {
		d.step.Settlements = append(d.step.Settlements, distribution.Settlement{Book: head.Book, Period: period, Position: m.Seq})
	}
	if bytes.Contains(m.Data, inboxPart) {
		if err := d.handovers(m); err != nil {
			return fmt.Errorf("%s position %d: %w", d.config.Ledger.Name(), m.Seq, err)
		}
	}
	d.step.Ledger.Position, d.read = m.Seq, m.Data
	d.step.Ledger.Hash = [32]byte{} // set when it is committed
	return nil
}

func (d *Distributor) handovers(m eventlog.Message) error {
	r, err := ledger.DecodeRecord(m.Data)
	if err != nil {
		return err
	}
	first := len(d.step.Handovers)
	for _, e := range r.Entries {
		for _, p := range e.Postings {
			for _, side := range [2]ledger.Account{p.Credit, p.Debit} {
				kind, id, part := side.Split()
				if kind != ledger.OfToken || part != ledger.Inbox {
					continue
				}
				amount := p.Amount
				if side == p.Debit { // taken back before it was distributed
					if amount, err = amount.Neg(); err != nil {
						return err
					}
				}
				if err := d.handover(first, distribution.Handover{Token: events.Token(id), Asset: p.Asset, Position: m.Seq, Period: e.Origin, Amount: amount}); err != nil {
					return err
				}
				d.show.hand(events.Token(id), m.Trace())
			}
		}
	}
	return nil
}

// handover adds next to the handovers of this message, which begin at index
// first.
func (d *Distributor) handover(first int, next distribution.Handover) (err error) {
	for i := first; i < len(d.step.Handovers); i++ {
		if h := &d.step.Handovers[i]; h.Token == next.Token && h.Asset == next.Asset && h.Period == next.Period {
			h.Amount, err = h.Amount.Add(next.Amount)
			return err
		}
	}
	d.step.Handovers = append(d.step.Handovers, next)
	return nil
}

// fold is a register as it is at a position of REGISTER.
type fold struct {
	register register.Register
	position uint64
}

// registerAt returns the register of a token at a position. It reads on from
// the register that was kept, or, if that one is already beyond the position,
// from the beginning.
func (d *Distributor) registerAt(ctx context.Context, token events.Token, position uint64) (*register.Register, error) {
	stream := d.config.Register
	if err := d.await(ctx, stream, position); err != nil {
		return nil, err
	}
	f := d.registers[token]
	if f == nil || f.position > position {
		f = &fold{}
		// Reading by subject cannot detect gaps, so the stream is checked for
		// them here.
		if err := stream.Verify(ctx, 0, [32]byte{}, time.Time{}); err != nil {
			return nil, fmt.Errorf("checking %s: %w", stream.Name(), err)
		}
	}
	delete(d.registers, token) // put back when the fold has succeeded
	if err := d.fold(ctx, f, token, position); err != nil {
		return nil, fmt.Errorf("reading the register of %s: %w", token, err)
	}
	d.registers[token] = f
	return &f.register, nil
}

func (d *Distributor) fold(ctx context.Context, f *fold, token events.Token, position uint64) error {
	subject := eventlog.RegisterSubject(string(token))
	last, err := d.config.Register.GetLastFor(ctx, subject)
	if errors.Is(err, eventlog.ErrNotFound) {
		last.Seq, err = 0, nil
	}
	if err != nil {
		return err
	}
	if last.Seq > f.position && position > f.position {
		r, err := d.config.Register.Read(ctx, f.position+1, subject)
		if err != nil {
			return err
		}
		defer r.Stop()
		for {
			m, err := r.Next(ctx)
			if err != nil {
				return err
			}
			if m.Seq > position {
				break
			}
			if err := d.move(ctx, f, token, m); err != nil {
				return fmt.Errorf("position %d: %w", m.Seq, err)
			}
			if m.Seq >= last.Seq {
				break
			}
		}
	}
	f.position = max(f.position, position)
	return nil
}

func (d *Distributor) move(ctx context.Context, f *fold, token events.Token, m eventlog.Message) error {
	movements, err := events.DecodeMovements(m.Data)
	if err != nil {
		return err
	}
	if movements.Token != token {
		return fmt.Errorf("movements of %s under the subject of %s", movements.Token, token)
	}
	voids, err := f.register.Apply(&movements)
	if err != nil {
		d.log.InfoContext(ctx, "movements have no effect", "token", token, "position", m.Seq, "reason", err)
	}
	for _, v := range voids {
		d.log.WarnContext(ctx, "a movement is void", "token", token, "position", m.Seq, "movement", v.Movement, "reason", v.Reason)
	}
	return nil
}
