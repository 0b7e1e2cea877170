package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// settled is a store whose cursor is set by the test. No message of these tests
// can be read as usage, so there are no outcomes.
type settled struct{ position uint64 }

func (s *settled) Cursor(context.Context, int) (settlement.Cursor, error) {
	return settlement.Cursor{Position: s.position}, nil
}

func (*settled) Outcomes(context.Context, int, uint64, uint64, func(settlement.Outcome) error) error {
	return nil
}

// silent is a store that does not answer the first questions of each kind.
type silent struct {
	settled
	cause             error
	cursors, outcomes atomic.Int32 // how many questions are still to be left unanswered
}

func (s *silent) Cursor(ctx context.Context, partition int) (settlement.Cursor, error) {
	if s.cursors.Add(-1) >= 0 {
		return settlement.Cursor{}, s.cause
	}
	return s.settled.Cursor(ctx, partition)
}

func (s *silent) Outcomes(context.Context, int, uint64, uint64, func(settlement.Outcome) error) error {
	if s.outcomes.Add(-1) >= 0 {
		return s.cause
	}
	return nil
}

// place is an installation of two streams.
type place struct {
	t       *testing.T
	dir     string
	log     *eventlog.Log
	usage   *eventlog.Stream
	control *eventlog.Stream
	store   *settled
}

func newPlace(t *testing.T) *place {
	t.Helper()
	return newPlaceIn(t, t.TempDir())
}

func newPlaceIn(t *testing.T, dir string) *place {
	t.Helper()
	p := &place{t: t, dir: dir, store: &settled{}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	p.log, err = eventlog.Open(t.Context(), eventlog.Config{Dir: filepath.Join(p.dir, "streams"), ReserveBytes: -1, LazySync: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.log.Close() })
	if p.usage, err = p.log.Usage(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	if p.control, err = p.log.Control(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish stores n more messages in a stream.
func (p *place) publish(stream *eventlog.Stream, n int) {
	p.t.Helper()
	subject := "control.Test"
	if stream == p.usage {
		subject = eventlog.UsageSubject(0)
	}
	for range n {
		last, err := stream.Last(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := stream.Publish(p.t.Context(), subject, fmt.Appendf(nil, "\xff no usage %d", last+1), eventlog.PublishOptions{}); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *place) open() (*Keeper, error) {
	return Open(p.t.Context(), Config{
		Dir: p.dir, Usage: []*eventlog.Stream{p.usage}, Streams: []*eventlog.Stream{p.control}, Store: p.store,
		Every: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// keep opens a keeper, keeps everything there is and closes it.
func (p *place) keep() {
	p.t.Helper()
	k, err := p.open()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(k.Finish(p.t.Context()), k.Close()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) size(stream *eventlog.Stream) uint64 {
	p.t.Helper()
	key, err := ReadPublicKey(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := tiles.OpenReader(LogDir(p.dir, stream.Name()), key.Origin(LogName(stream.Name())), key)
	if err != nil {
		p.t.Fatal(err)
	}
	c, _, err := r.Checkpoint()
	if err != nil {
		p.t.Fatal(err)
	}
	return c.Size
}

// Fails when the usage loop follows the end of the stream instead of the cursor.
func TestNothingIsSignedBeforeItIsCommitted(t *testing.T) {
	p := newPlace(t)
	p.publish(p.usage, 10)
	p.publish(p.control, 7)
	p.store.position = 4
	p.keep()
	if have := p.size(p.usage); have != 4 {
		t.Errorf("%d positions of usage are signed, 4 are committed", have)
	}
	if have := p.size(p.control); have != 7 {
		t.Errorf("%d decisions are signed, there are 7", have)
	}
	p.store.position = 10
	p.keep()
	if have := p.size(p.usage); have != 10 {
		t.Errorf("%d positions of usage are signed, 10 are committed", have)
	}
}

func TestTheKeeperKeepsUpWhileItRuns(t *testing.T) {
	p := newPlace(t)
	k, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	for range 5 {
		p.publish(p.control, 20)
		if err := k.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) || k.Err() != nil {
		t.Errorf("%v, %v", err, k.Err())
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if have := p.size(p.control); have != 100 {
		t.Errorf("%d decisions are signed, there are 100", have)
	}
}

// Messages that a round archived before it was killed are compared and not
// written again. Fails when the next round appends them a second time.
func TestARoundThatWasInterruptedGoesOn(t *testing.T) {
	for _, test := range []struct {
		name  string
		data  func(eventlog.Message) []byte
		wrong string
	}{
		{"the same messages", func(m eventlog.Message) []byte { return m.Data }, ""},
		{"another message", func(eventlog.Message) []byte { return []byte("another") }, "CONTROL position 6, stream: the message is not the one that was archived"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.publish(p.control, 5)
			p.keep()
			p.publish(p.control, 5)
			a, err := archive.Open(ArchiveDir(p.dir, "CONTROL"), "CONTROL", 5)
			if err != nil {
				t.Fatal(err)
			}
			for at := uint64(6); at <= 8; at++ {
				m, err := p.control.Get(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				m.Data = test.data(m)
				if err := a.Append(copyOf(m, hashOf(m.Data))); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			k, err := p.open()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Close() }()
			err = k.Finish(t.Context())
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Fatalf("%v", err)
				}
				// Running it stops, and Err says so afterwards.
				if err := k.Run(t.Context()); err == nil || k.Err() == nil || !strings.Contains(k.Err().Error(), test.wrong) {
					t.Errorf("%v, %v", err, k.Err())
				}
				return
			}
			if err != nil || p.size(p.control) != 10 {
				t.Fatalf("%v, %d signed", err, p.size(p.control))
			}
			if last, err := archive.Last(ArchiveDir(p.dir, "CONTROL"), "CONTROL"); err != nil || last != 10 {
				t.Errorf("the copy ends at %d, %v", last, err)
			}
		})
	}
}

// "Restored old database: re-derives and compares before it signs anything."
func TestARestoredDatabaseIsComparedWithWhatWasSigned(t *testing.T) {
	p := newPlace(t)
	p.publish(p.usage, 6)
	p.store.position = 6
	p.keep()
	p.store.position = 3
	k, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	u := k.kept[0].maker.(*usage)
	next, err := k.kept[0].begin(ctx)
	if err != nil || next != 4 {
		t.Fatalf("it goes on at %d, %v", next, err)
	}
	leaf, err := encoded(u.read(4, []byte("what was derived otherwise"), tlog.Hash{}), settlement.Outcome{})
	if err != nil {
		t.Fatal(err)
	}
	var difference *Difference
	if err := k.kept[0].known(4, leaf); !errors.As(err, &difference) || difference.Side != SideStore || difference.First != 4 {
		t.Errorf("%v", err)
	}
	p.store.position = 6
	if err := errors.Join(k.Finish(ctx), k.Close()); err != nil {
		t.Fatal(err)
	}
}

// Fails when a start does not compare the log with what it has signed before.
func TestALogThatWasPutBackIsFound(t *testing.T) {
	p := newPlace(t)
	p.publish(p.control, 5)
	p.keep()
	older := filepath.Join(t.TempDir(), "tlog")
	if err := os.CopyFS(older, os.DirFS(filepath.Join(p.dir, "tlog"))); err != nil {
		t.Fatal(err)
	}
	p.publish(p.control, 5)
	p.keep()
	if err := errors.Join(os.RemoveAll(filepath.Join(p.dir, "tlog")), os.CopyFS(filepath.Join(p.dir, "tlog"), os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	_, err := p.open()
	if err == nil || !strings.Contains(err.Error(), "CONTROL positions 6 to 10, log: missing") {
		t.Errorf("%v", err)
	}
}

func TestALogWithoutItsKeyIsNotBegunAnew(t *testing.T) {
	p := newPlace(t)
	p.publish(p.control, 1)
	p.keep()
	if err := os.Remove(PrivateKeyFile(p.dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(); err == nil || !strings.Contains(err.Error(), "there are logs, but no") {
		t.Errorf("%v", err)
	}
}

// A database that does not answer is asked again, at the beginning and later, and
// its answers are signed once. A wrong answer stops the keeper.
func TestTheKeeperWaitsForAnAnswer(t *testing.T) {
	p := newPlace(t)
	p.publish(p.usage, 7)
	for cause, stays := range map[error]bool{fmt.Errorf("away: %w", settlement.ErrInterrupted): true, errors.New("no such table"): false} {
		store := &silent{settled: settled{7}, cause: cause}
		store.cursors.Store(3)
		store.outcomes.Store(3)
		dir := t.TempDir()
		k, err := Open(t.Context(), Config{
			Dir: dir, Usage: []*eventlog.Stream{p.usage}, Streams: []*eventlog.Stream{p.control}, Store: store,
			Every: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		usage, err := k.Log(LogName(p.usage.Name()))
		if err != nil {
			t.Fatal(err)
		}
		size := uint64(0)
		for deadline := time.Now().Add(time.Minute); size < 7 && k.Err() == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			c, _, err := usage.Checkpoint()
			if err != nil {
				t.Fatal(err)
			}
			size = c.Size
		}
		if (size == 7) != stays || (k.Err() == nil) != stays {
			t.Errorf("%v: %d of 7 are signed, the keeper says %v", cause, size, k.Err())
		}
		stop()
		<-ended
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Only one process can use a folder, and the error names that process.
func TestAFolderIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	held, err := Hold(dir, "the first, process 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(dir, "the second"); !errors.Is(err, eventlog.ErrInUse) || !strings.Contains(err.Error(), "the first, process 1") {
		t.Errorf("a second one: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Hold(dir, "the third")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
