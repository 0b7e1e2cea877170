package export

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

func hashOf(data []byte) tlog.Hash { return sha256.Sum256(data) }

// decided is one message of CONTROL and its effect on the directory.
type decided struct {
	events.Decision
	m      *message
	broken error // why it could not be decoded
	effect string
	reason string // if void
}

// The effects of a decision.
const (
	applied   = "applied"
	repeated  = "repeated"  // a decision with the same id was already applied
	unchanged = "unchanged" // it says what is already declared
	voided    = "void"
)

// decided folds CONTROL into the run's directory and calls each for every
// message.
func (r *run) decided(each func(decided) error) error {
	r.directory = directory.New()
	return r.read(r.control, 1, r.control.size, func(m *message) error {
		d := decode(m)
		same := d.broken == nil && r.directory.Same(d.Body)
		err := r.directory.Apply(m.Seq, d.Decision)
		switch {
		case errors.Is(err, directory.ErrOrder):
			return err
		case d.broken != nil:
			d.effect, d.reason = voided, d.broken.Error()
		case errors.Is(err, directory.ErrRepeat):
			d.effect = repeated
		case err != nil:
			d.effect, d.reason = voided, err.Error()
		case same:
			d.effect = unchanged
		default:
			d.effect = applied
		}
		return each(d)
	})
}

func decode(m *message) decided {
	decision, err := events.DecodeDecision(m.Data)
	return decided{Decision: decision, m: m, broken: err}
}

// follower reads CONTROL up to the positions for which it is asked.
type follower struct {
	run    *run
	at     uint64
	reader *eventlog.Reader
}

func (r *run) follow() *follower { return &follower{run: r} }

func (f *follower) stop() {
	if f.reader != nil {
		f.reader.Stop()
	}
}

var errAhead = errors.New("CONTROL is not signed up to the decisions that are in effect")

// to calls each for the decisions up to a position that it has not read yet.
func (f *follower) to(position uint64, each func(decided) error) (err error) {
	if position > f.run.control.size {
		return fmt.Errorf("%w: %d of %d", errAhead, f.run.control.size, position)
	}
	if f.reader == nil {
		if f.reader, err = f.run.control.stream.Read(f.run.ctx, 1, ""); err != nil {
			return err
		}
	}
	for f.at < position {
		raw, err := f.reader.Next(f.run.ctx)
		if err != nil {
			return err
		}
		f.at++
		m := &message{Message: raw, of: f.run.control, sha256: sha256.Sum256(raw.Data)}
		if err := m.compare(f.at); err != nil {
			return fmt.Errorf("%s position %d: %w", m.of.stream.Name(), f.at, err)
		}
		if err := each(decode(m)); err != nil {
			return err
		}
	}
	return nil
}
