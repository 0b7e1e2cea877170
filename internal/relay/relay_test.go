package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// journal is a journal in memory that can forget, as a store restored from an
// older copy does.
type journal struct {
	rows             []Row
	number, position uint64
}

func (j *journal) Name() string { return "writer" }
func (j *journal) Relayed(context.Context) (uint64, uint64, error) {
	return j.number, j.position, nil
}
func (j *journal) SetRelayed(_ context.Context, number, position uint64) error {
	j.number, j.position = number, position
	return nil
}
func (j *journal) Rows(_ context.Context, from uint64, limit int) ([]Row, error) {
	first := min(int(from)-1, len(j.rows))
	return j.rows[first:min(first+limit, len(j.rows))], nil
}

func (j *journal) add(subject string, n int) {
	for range n {
		number := uint64(len(j.rows) + 1)
		j.rows = append(j.rows, Row{number, subject, fmt.Appendf(nil, "row %d", number)})
	}
}

func stream(t *testing.T) *eventlog.Stream {
	t.Helper()
	l, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), LazySync: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s, err := l.Payout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func drain(t *testing.T, j *journal, s *eventlog.Stream) {
	t.Helper()
	if err := New(j, s, quiet).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// holds checks that the stream has rows 1 to n of the journal and nothing else
// of its writer.
func holds(t *testing.T, s *eventlog.Stream, n int) {
	t.Helper()
	last, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for seq := uint64(1); seq <= last; seq++ {
		m, err := s.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Nats-Msg-Id") == "" {
			continue // somebody else's
		}
		found++
		if want := fmt.Sprintf("row %d", found); string(m.Data) != want {
			t.Fatalf("position %d holds %q, want %q", seq, m.Data, want)
		}
	}
	if found != n {
		t.Fatalf("%d rows in the stream, want %d", found, n)
	}
}

func TestEveryRowOnceInOrder(t *testing.T) {
	s, j := stream(t), &journal{}
	drain(t, j, s)
	j.add("payout.a", 3)
	j.add("payout.b", 40) // more than one reading
	drain(t, j, s)
	holds(t, s, 43)
	j.add("payout.a", 1)
	drain(t, j, s)
	drain(t, j, s)
	holds(t, s, 44)
	if j.number != 44 || j.position != 44 {
		t.Fatalf("watermark %d at %d, want 44 at 44", j.number, j.position)
	}
}

// Fails when compare is left out: every row is then in the stream twice.
func TestALostWatermarkPublishesNothingTwice(t *testing.T) {
	s, j := stream(t), &journal{}
	j.add("payout.a", 5)
	drain(t, j, s)
	for _, number := range []uint64{0, 2, 4} {
		j.number, j.position = number, number
		drain(t, j, s)
		holds(t, s, 5)
	}
	j.number, j.position = 3, 3
	j.add("payout.a", 2)
	drain(t, j, s)
	holds(t, s, 7)
}

func TestARestoredStoreOnlyCompares(t *testing.T) {
	s, j := stream(t), &journal{}
	j.add("payout.a", 6)
	drain(t, j, s)
	all := j.rows
	old := &journal{rows: all[:2], number: 2, position: 2}
	r := New(old, s, quiet)
	if err := r.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer r.endTail()
	for n := 3; n <= 6; n++ { // derived again, one by one
		old.rows = all[:n]
		if err := r.drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 6)
	}
	old.add("payout.a", 1)
	if err := r.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, 7)
}

func TestDifferencesStop(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*journal)
	}{
		{"another row beyond the watermark", func(j *journal) { j.rows[3].Data = []byte("other"); j.number, j.position = 2, 2 }},
		{"another row at the watermark", func(j *journal) { j.rows[4].Data = []byte("other") }},
		{"another subject", func(j *journal) { j.rows[3].Subject = "payout.b"; j.number, j.position = 2, 2 }},
		{"a watermark at another position", func(j *journal) { j.position = 4 }},
		{"a row left out of the journal", func(j *journal) {
			j.rows = append(j.rows[:2:2], Row{3, "payout.a", []byte("row 4")})
			j.number, j.position = 2, 2
		}},
		{"a watermark beyond the journal", func(j *journal) { j.rows = j.rows[:3] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, j := stream(t), &journal{}
			j.add("payout.a", 5)
			drain(t, j, s)
			c.spoil(j)
			if err := New(j, s, quiet).Drain(t.Context()); !errors.Is(err, ErrDiffers) {
				t.Fatalf("got %v, want %v", err, ErrDiffers)
			}
			holds(t, s, 5)
		})
	}
}

// Other writers of the stream, as settlers of other partitions are, do not
// disturb; their subjects are their own.
func TestOtherWritersAreLeftAlone(t *testing.T) {
	s, j := stream(t), &journal{}
	j.add("payout.a", 2)
	drain(t, j, s)
	for range 3 {
		if _, err := s.Publish(t.Context(), "payout.b", []byte("theirs"), eventlog.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	j.number, j.position = 1, 1
	j.add("payout.a", 2)
	drain(t, j, s)
	holds(t, s, 4)
}

// A publish that was thought lost is stored after the relay has looked. For 2 s
// the server would answer a second one with the position of the first; later it
// would store the row twice. Fails when a publish expects an end of its subject
// that nobody has compared with the journal.
func TestARowThatArrivesAfterTheLookIsNotStoredTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		before int  // rows that are in the stream before the relay begins
		others bool // somebody else's messages arrive between
	}{
		{"the first row of its subject", 0, false},
		{"a row after others of its subject", 3, false},
		{"a row behind somebody else's", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			s, j := stream(t), &journal{}
			j.add("payout.a", c.before)
			drain(t, j, s)
			r := New(j, s, quiet)
			if err := r.begin(ctx); err != nil {
				t.Fatal(err)
			}
			defer r.endTail()
			if err := r.beginTail(ctx); err != nil {
				t.Fatal(err)
			}
			j.add("payout.a", 1)
			late := j.rows[c.before]
			if c.others {
				if _, err := s.Publish(ctx, "payout.b", []byte("theirs"), eventlog.PublishOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			position, err := s.Publish(ctx, late.Subject, late.Data, eventlog.PublishOptions{MsgID: r.id(late.Number)})
			if err != nil {
				t.Fatal(err)
			}
			if at, err := r.publish(ctx, late); !errors.Is(err, eventlog.ErrWrongLastSequence) {
				t.Fatalf("published over an end that was not looked at: position %d, %v", at, err)
			}
			if err := r.drain(ctx); err != nil {
				t.Fatal(err)
			}
			holds(t, s, c.before+1)
			if r.number != late.Number || r.position != position {
				t.Errorf("row %d is said to be at %d, it is row %d at %d", r.number, r.position, late.Number, position)
			}
		})
	}
}
