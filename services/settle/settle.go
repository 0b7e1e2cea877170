// Package settle turns usage into money owed: it reads USAGE and CONTROL in
// their one order, lets the pure core in posting decide, and commits what came
// of it together with the position read.
//
// The method is one loop a partition. A goroutine reads and decodes messages
// ahead of the core; the core is alone with its state; whole cuts go to a
// goroutine that commits them, so that the next cut is computed while the last
// one is being written; a relay carries the journal to LEDGER. A follower of
// CONTROL publishes a barrier into USAGE for what it has seen, and an idle core
// asks for a marker, so that usage never waits for more usage.
//
// # Invariants
//
//   - Exactly once: a message's effects and the cursor past it are one
//     transaction. A restart begins at the cursor; there is no other recovery.
//   - Fail closed: a stream that is not the one the cursor knows, a gap, a store
//     that somebody else has taken over: the loop stops and says which.
//   - Results do not depend on timing: everything that a barrier or a marker
//     depends on is already in the stream when the core reads it.
//   - In replay nothing is published.
package settle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/watermark"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/relay"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/settle/posting"
)

// Store is where a settler commits. It was taken over when it was opened: the
// commits of the owner before fail.
//
// Commit writes whole cuts, ascending, in one transaction with the cursor, which
// stands at from; it is on disk when Commit returns nil. settlement.ErrFenced:
// somebody else moved the cursor. settlement.ErrInterrupted: try again, with the
// same cuts; if the first try had succeeded after all, the second says so by
// nil. Records come encoded beside the cuts, as LEDGER is to have them.
type Store interface {
	Load(ctx context.Context) ([]settlement.Suspense, []settlement.Outstanding, []settlement.Collected, *ledger.Balances, error)
	Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error
	Void(ctx context.Context, control uint64) (reason string, ok bool, err error)
	History
}

// History is what the store answers about what is committed.
type History interface {
	Spans(ctx context.Context, source settlement.Source) ([]settlement.Span, error)
	Original(ctx context.Context, source settlement.Source, sequence uint64) (settlement.Original, bool, error)
	Outcomes(ctx context.Context, from, to uint64, each func(settlement.Outcome) error) error
}

// Identities is the index of events that are not sequenced. Bind returns the
// position up to which it is complete; Sync makes it durable up to one.
type Identities interface {
	posting.Identities
	Bind(ctx context.Context, stream string, created int64) (watermark uint64, err error)
	Sync(position uint64) error
}

// Tree is the verifiable log of a stream: Append adds the message at the next
// position, and Root is the root over all of them.
type Tree interface {
	Append(position uint64, subject string, data []byte)
	Root() [32]byte
}

// Config says what a settler works on.
type Config struct {
	Partition      int
	Usage, Control *eventlog.Stream

	Store  Store
	Cursor settlement.Cursor // as the store gave it when it was taken over
	IDs    Identities

	// Seen is called, where it is not nil, with each message of USAGE that can be
	// read, decoded, in order, before the core has it and so before it is
	// committed. After a restart it may be called with what it was before. What
	// is decoded is used again when it returns; until then nothing is settled
	// further on, so that it must not wait.
	Seen func(eventlog.Message, *events.Message, []settlement.Decoded)

	// Tree is empty, and grows with CONTROL as it is read: its roots go into the
	// barriers, and are compared with those that barriers carry. Nil: neither.
	Tree Tree

	// Ledger carries the journal to LEDGER; nil publishes nothing there.
	Ledger *relay.Relay
	// Until is the position in USAGE, one that cuts, after which Run returns
	// nil: replay. With it, no barrier and no marker is published. 0 is never.
	Until uint64

	// Idle is how long usage waits at least for more before a marker cuts it; 0
	// means 20 ms. Shorter costs a synced message and a commit each time; longer
	// adds to the latency of a quiet system.
	Idle   time.Duration
	Logger *slog.Logger // nil: slog.Default

	// Meter and Tracer show what the settler does; nil shows nothing.
	Meter  metric.Meter
	Tracer trace.Tracer
}

const (
	idle = 20 * time.Millisecond
	// perCommit is how many cuts one transaction may have: a system with many
	// decisions and little usage syncs once for several.
	perCommit = 16
	// uncommitted bounds the cuts between core and store, by their events.
	uncommitted = 1 << 20
	// interruptedPause follows an interrupted commit, publish or read of the log.
	interruptedPause = time.Second
)

// Settler is the loop. Make it with [New].
type Settler struct {
	config  Config
	log     *slog.Logger
	show    *instruments
	broken  error               // why it cannot be shown
	watched metric.Registration // while it runs
	state   *posting.State
	reader  *reader // of USAGE

	history *originals

	root   *events.Root // of CONTROL up to rootAt, which is in effect; nil: not kept
	rootAt uint64

	decisions *queue              // read from CONTROL, not in effect yet
	marker    chan struct{}       // asks for a marker
	room      *semaphore.Weighted // of uncommitted cuts
	pace      pace

	directory sync.RWMutex // guards the state's directory: Run writes, [Settler.Directory] reads

	settled   watermark.Mark // last position of USAGE that is committed
	effective watermark.Mark // last position of CONTROL that is committed
}

// New returns a settler that does nothing until [Settler.Run].
func New(config Config) *Settler {
	s := &Settler{config: config, log: config.Logger, marker: make(chan struct{}, 1), room: semaphore.NewWeighted(uncommitted),
		decisions: newQueue(config.Cursor.Control)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.config.Idle == 0 {
		s.config.Idle = idle
	}
	s.show, s.broken = newInstruments(config.Meter, config.Tracer, config.Partition)
	s.pace.idle = s.config.Idle
	s.history = &originals{settler: s, cache: make(map[uint64]*message)}
	s.state = posting.New(config.Partition, s.history, config.IDs)
	return s
}

// errDone ends the goroutines of a replay that is complete.
var errDone = errors.New("done")

// Run settles until ctx ends, and then returns ctx's error, or until
// Config.Until, and then returns nil, or until it cannot go on. It may be called
// once; every goroutine of it has ended when it returns.
func (s *Settler) Run(ctx context.Context) error {
	err := s.run(ctx)
	if errors.Is(err, errDone) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("settling partition %d: %w", s.config.Partition, err)
	}
	stopped := err
	if stopped == nil {
		stopped = fmt.Errorf("settling partition %d: ended", s.config.Partition)
	}
	s.settled.Stop(stopped)
	s.effective.Stop(stopped)
	return err
}

func (s *Settler) run(ctx context.Context) error {
	if s.config.Until > 0 && s.config.Cursor.Position >= s.config.Until {
		return nil
	}
	if s.broken != nil {
		return s.broken
	}
	s.history.ctx = ctx
	defer func() {
		if s.watched != nil {
			_ = s.watched.Unregister() // never fails
		}
	}()
	if err := s.begin(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	s.history.ctx = ctx
	cuts := make(chan made, perCommit)
	committed := make(chan uint64, 8)
	s.reader = newReader(s.config.Usage, s.config.Seen)
	group.Go(func() error { return s.reader.run(ctx, s.state.Position()+1) })
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error { return s.commit(ctx, cuts, committed) })
	group.Go(func() error {
		defer close(cuts)
		return s.settle(ctx, cuts, committed)
	})
	if s.config.Until == 0 {
		group.Go(func() error { return s.mark(ctx) })
	}
	if s.config.Ledger != nil {
		group.Go(func() error { return s.config.Ledger.Run(ctx) })
	}
	return group.Wait()
}

// settle is the core's own goroutine.
func (s *Settler) settle(ctx context.Context, cuts chan<- made, committed <-chan uint64) error {
	var shown seen // since the last cut
	for {
		wait := time.Duration(0) // no limit
		if s.state.Uncut() && s.config.Until == 0 {
			if wait = s.pace.left(time.Now()); wait <= 0 {
				s.pace.asked = time.Now()
				select {
				case s.marker <- struct{}{}:
				default:
				}
				continue
			}
		}
		m, err := s.reader.next(ctx, wait)
		if err != nil {
			return err
		}
		for drained := false; !drained; {
			select {
			case position := <-committed:
				s.state.Committed(position)
			default:
				drained = true
			}
		}
		if m == nil { // Idle.
			continue
		}
		if s.config.Until > 0 && m.position > s.config.Until {
			return fmt.Errorf("position %d, where replay is to end, cuts nothing", s.config.Until)
		}
		began, kind := time.Now(), m.kind
		cut, err := s.take(ctx, m)
		s.pace.took(began, time.Now(), kind, cut != nil, s.state.Uncut())
		shown.take(m)
		s.reader.release(m)
		if err != nil {
			return err
		}
		if cut == nil {
			continue
		}
		if err := s.room.Acquire(ctx, weight(cut)); err != nil {
			return err
		}
		if len(cut.Suspense) > 0 {
			s.sees()
		}
		select {
		case cuts <- made{cut, shown}:
			shown = seen{}
		case <-ctx.Done():
			return ctx.Err()
		}
		if cut.Position == s.config.Until {
			return s.drained(ctx)
		}
	}
}

// drained waits until everything of a replay is committed.
func (s *Settler) drained(ctx context.Context) error {
	if err := s.WaitSettled(ctx, s.config.Until); err != nil {
		return err
	}
	return errDone
}

// take gives one message to the core.
func (s *Settler) take(ctx context.Context, m *message) (cut *settlement.Cut, err error) {
	s.history.current = m
	defer func() { s.history.current = nil }()
	switch {
	case m.err != nil:
		s.log.Error("message of USAGE is not ours", "position", m.position, "cause", m.err)
		cut, err = s.state.Unreadable(m.position)
	case m.rules > posting.Rules:
		return nil, fmt.Errorf("position %d begins rules version %d, this program knows up to %d: use the newer program", m.position, m.rules, posting.Rules)
	case m.kind == barrier:
		decisions, root, e := s.decisions.upTo(ctx, s.state.Control(), m.control)
		if len(decisions) > 0 {
			s.root, s.rootAt = root, m.control
		}
		if e == nil {
			e = s.rests(m)
		}
		if e != nil {
			return nil, e
		}
		s.directory.Lock()
		cut, err = s.state.Barrier(m.position, max(m.control, s.state.Control()), decisions)
		s.directory.Unlock()
	case m.kind == marker:
		cut, err = s.state.Marker(m.position)
	default:
		cut, err = s.state.Batch(m.position, m.segments)
	}
	if cut != nil {
		cut.Hash = m.hash()
	}
	return cut, err
}

// Directory calls f with what is declared, as far as it is in effect. f must
// neither keep nor change it.
func (s *Settler) Directory(f func(*directory.Directory)) {
	s.directory.RLock()
	defer s.directory.RUnlock()
	f(s.state.Directory())
}

// Effective returns the CONTROL position up to which decisions have taken
// effect and are committed.
func (s *Settler) Effective() uint64 {
	return s.effective.At()
}

// Settled returns the USAGE position up to which messages are settled and
// committed.
func (s *Settler) Settled() uint64 {
	return s.settled.At()
}

// WaitEffective returns nil when the decision at this CONTROL position has taken
// effect (or is void), otherwise ctx's error or that which stopped the settler.
func (s *Settler) WaitEffective(ctx context.Context, control uint64) error {
	return s.effective.Wait(ctx, control)
}

// WaitSettled returns nil when the message at this USAGE position is settled,
// otherwise ctx's error or that which stopped the settler.
func (s *Settler) WaitSettled(ctx context.Context, usage uint64) error {
	return s.settled.Wait(ctx, usage)
}

// VoidReason says why a decision that is effective by now had no effect; empty
// where it had one.
func (s *Settler) VoidReason(ctx context.Context, control uint64) (string, error) {
	reason, _, err := s.config.Store.Void(ctx, control)
	return reason, err
}

// advance tells those who wait.
func (s *Settler) advance(usage, control uint64) {
	s.settled.Advance(usage)
	s.effective.Advance(control)
}
