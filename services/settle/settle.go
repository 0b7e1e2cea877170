// Package settle turns usage into money owed: it reads USAGE and CONTROL in
// their one order, lets the pure core in posting decide, and commits the result
// together with the position read.
//
// The method is one loop per partition. A goroutine reads and decodes messages
// ahead of the core; the core is alone with its state; whole cuts go to a
// goroutine that commits them, so that the next cut is computed while the last
// one is being written; a relay carries the journal to LEDGER. A follower of
// CONTROL publishes barriers into USAGE for the decisions that it has read, and
// an idle core asks for a marker, so that usage never waits for more usage.
//
// # Invariants
//
//   - Exactly once: a message's effects and the cursor past it are one
//     transaction. A restart begins at the cursor; there is no other recovery.
//   - Fail closed: the loop stops with an error if a stream is not the one that
//     the cursor knows, if a stream has a gap, or if another process has taken
//     over the store.
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

// Store is where a settler commits. Opening it takes it over: commits of the
// previous owner fail.
//
// Commit writes whole cuts, in ascending order, in one transaction with the
// cursor, which must be at from; they are on disk when Commit returns nil. It
// fails with settlement.ErrFenced if another process moved the cursor. After
// settlement.ErrInterrupted the caller repeats the commit with the same cuts;
// if the first attempt succeeded after all, the second returns nil. Beside the
// cuts come their records, encoded as they are published to LEDGER.
type Store interface {
	Load(ctx context.Context) ([]settlement.Suspense, []settlement.Outstanding, []settlement.Collected, *ledger.Balances, error)
	Commit(ctx context.Context, from uint64, cuts []*settlement.Cut, encoded [][][]byte) error
	Void(ctx context.Context, control uint64) (reason string, ok bool, err error)
	History
}

// History reads what is committed.
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

// Config is what a [Settler] needs.
type Config struct {
	Partition      int
	Usage, Control *eventlog.Stream

	Store  Store
	Cursor settlement.Cursor // as the store returned it when it was taken over
	IDs    Identities

	// Seen, if it is not nil, is called with each readable message of USAGE,
	// decoded and in order, before the core takes the message and so before it
	// is committed. After a restart it may be called again with the same
	// messages. It must not keep the decoded message, whose memory is reused
	// when it returns, and must not wait, because nothing is settled until it
	// returns.
	Seen func(eventlog.Message, *events.Message, []settlement.Decoded)

	// Tree is empty, and grows with CONTROL as it is read. Its roots go into
	// the barriers, and are compared with the roots that barriers carry; if it
	// is nil, neither happens.
	Tree Tree

	// Ledger carries the journal to LEDGER; nil publishes nothing there.
	Ledger *relay.Relay
	// Until is for replay: Run returns nil after this position in USAGE, which
	// must be one that cuts, and publishes no barrier and no marker. 0 means no
	// end.
	Until uint64

	// Idle is the shortest time that usage waits for more usage before a marker
	// cuts it; 0 means 20 ms. A shorter time costs more synced messages and
	// commits; a longer one adds to the latency of a quiet system.
	Idle   time.Duration
	Logger *slog.Logger // nil: slog.Default

	// Meter and Tracer receive metrics and traces; nil means none.
	Meter  metric.Meter
	Tracer trace.Tracer
}

const (
	idle = 20 * time.Millisecond
	// perCommit is how many cuts one transaction may have: with many decisions
	// and little usage, one sync commits several cuts.
	perCommit = 16
	// uncommitted bounds the cuts between core and store, by their events.
	uncommitted = 1 << 20
	// interruptedPause follows the first interruption of a commit, publish or read
	// of the log. Each further pause is twice as long, up to interruptedLongest: a
	// lost answer costs little, and a database that is gone is asked seldom.
	interruptedPause   = 50 * time.Millisecond
	interruptedLongest = time.Second
)

// Settler is the loop. Make it with [New].
type Settler struct {
	config  Config
	log     *slog.Logger
	show    *instruments
	broken  error               // error of making the instruments
	watched metric.Registration // while it runs
	state   *posting.State
	reader  *reader // of USAGE

	history *originals

	root   *events.Root // of CONTROL up to rootAt, which is in effect; nil if no tree is kept
	rootAt uint64

	decisions *queue              // read from CONTROL, but not in effect yet
	marker    chan struct{}       // asks for a marker
	room      *semaphore.Weighted // for uncommitted cuts
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

// Run settles until ctx ends and returns ctx's error, or until Config.Until and
// returns nil, or until it cannot continue and returns the reason. It may be
// called once; all its goroutines have ended when it returns.
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

// settle is the goroutine of the core.
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
		s.log.Error("a message of USAGE cannot be read", "position", m.position, "cause", m.err)
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

// Directory calls f with the declarations that are in effect. f must neither
// keep nor change the directory.
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

// WaitEffective returns nil once the decision at this CONTROL position has
// taken effect or is void. Otherwise it returns ctx's error or the error that
// stopped the settler.
func (s *Settler) WaitEffective(ctx context.Context, control uint64) error {
	return s.effective.Wait(ctx, control)
}

// WaitSettled returns nil once the message at this USAGE position is settled.
// Otherwise it returns ctx's error or the error that stopped the settler.
func (s *Settler) WaitSettled(ctx context.Context, usage uint64) error {
	return s.settled.Wait(ctx, usage)
}

// VoidReason returns why a decision that has been settled had no effect; it is
// empty if the decision had one.
func (s *Settler) VoidReason(ctx context.Context, control uint64) (string, error) {
	reason, _, err := s.config.Store.Void(ctx, control)
	return reason, err
}

// advance tells the waiting callers.
func (s *Settler) advance(usage, control uint64) {
	s.settled.Advance(usage)
	s.effective.Advance(control)
}
