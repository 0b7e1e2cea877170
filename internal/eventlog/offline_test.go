package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"
)

// shelf is a source in memory; bad is a position that cannot be read.
type shelf struct {
	messages []Message
	bad      uint64
	skip     uint64 // a position that Messages leaves out, as no source may
}

var errBad = errors.New("damaged")

func (s *shelf) Last() uint64 { return uint64(len(s.messages)) }

func (s *shelf) Get(_ context.Context, position uint64) (Message, error) {
	if position > s.Last() {
		return Message{}, ErrNotFound
	}
	if position == s.bad {
		return Message{}, errBad
	}
	return s.messages[position-1], nil
}

func (s *shelf) Messages(_ context.Context, from uint64, each func(Message) error) error {
	for _, m := range s.messages[from-1:] {
		if m.Seq == s.bad {
			return errBad
		}
		if m.Seq == s.skip {
			continue
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

func filled(n int) *shelf {
	s := &shelf{}
	for i := range n {
		s.messages = append(s.messages, Message{Seq: uint64(i + 1), Subject: RegisterSubject(fmt.Sprint("T", i%3)), Data: payload(i)})
	}
	return s
}

// Fails where an offline stream is read otherwise than one of a server.
func TestAnOfflineStreamIsReadLikeEveryOther(t *testing.T) {
	made := time.Unix(7, 0)
	s := Offline(RegisterStream, made, filled(50))
	if last, err := s.Last(t.Context()); err != nil || last != 50 {
		t.Fatalf("last %d, %v", last, err)
	}
	if err := s.Verify(t.Context(), 50, sha256.Sum256(payload(49)), made); err != nil {
		t.Error(err)
	}
	if err := s.Verify(t.Context(), 51, [32]byte{}, made); !errors.Is(err, ErrRewound) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := s.Verify(t.Context(), 3, [32]byte{}, made); !errors.Is(err, ErrAltered) {
		t.Errorf("another hash: %v", err)
	}
	if err := s.Verify(t.Context(), 3, sha256.Sum256(payload(2)), time.Unix(8, 0)); !errors.Is(err, ErrOtherStream) {
		t.Errorf("another stream: %v", err)
	}
	if m, err := s.GetLastFor(t.Context(), RegisterSubject("T0")); err != nil || m.Seq != 49 {
		t.Errorf("last of T0 at %d, %v", m.Seq, err)
	}
	if _, err := s.GetLastFor(t.Context(), RegisterSubject("T9")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a subject without messages: %v", err)
	}
	if _, err := s.Publish(t.Context(), RegisterSubject("T0"), nil, PublishOptions{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("publishing: %v", err)
	}
	for _, test := range []struct {
		filter string
		from   uint64
		want   int
	}{{"", 0, 50}, {"", 50, 1}, {"", 51, 0}, {RegisterSubject("T1"), 1, 17}, {"register.>", 10, 41}} {
		r, err := s.Read(t.Context(), test.from, test.filter)
		if err != nil {
			t.Fatal(err)
		}
		for i := range test.want {
			m, err := r.Next(t.Context())
			if err != nil || m.Seq < max(test.from, uint64(i+1)) {
				t.Fatalf("%+v: message %d at %d, %v", test, i, m.Seq, err)
			}
		}
		if m, ok, err := r.NextTimeout(t.Context(), 5*time.Millisecond); ok || err != nil {
			t.Errorf("%+v: another one at %d, %v", test, m.Seq, err)
		}
		r.Stop()
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("stopped: %v", err)
		}
	}
	if _, err := s.Read(t.Context(), 52, ""); !errors.Is(err, ErrRewound) {
		t.Errorf("reading from beyond: %v", err)
	}
}

// Fails where a reader hides what its source says, or what it leaves out.
func TestAnOfflineReaderStopsAtWhatIsDamagedOrMissing(t *testing.T) {
	for _, test := range []struct {
		name   string
		source *shelf
		want   error
	}{
		{"damaged", &shelf{filled(9).messages, 5, 0}, errBad},
		{"left out", &shelf{filled(9).messages, 0, 5}, ErrGap},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Offline(RegisterStream, time.Time{}, test.source).Read(t.Context(), 1, "")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Stop()
			for i := range 4 {
				if m, err := r.Next(t.Context()); err != nil || m.Seq != uint64(i+1) {
					t.Fatalf("%d: %v", m.Seq, err)
				}
			}
			if _, err := r.Next(t.Context()); !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
