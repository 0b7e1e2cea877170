package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/directory"
)

// standing is an engine whose partition 1 has settled 3 of 5 positions and does
// not continue.
type standing struct{ Engine }

func (standing) Status(context.Context) (Status, error) {
	return Status{Healthy: true, Partition: []PartitionLoop{{Partition: 0, Last: 9, Settled: 9}, {Partition: 1, Last: 5, Settled: 3}}}, nil
}

func (standing) WaitSettled(ctx context.Context, partition int, position uint64) error {
	if partition == 0 || position <= 3 {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (standing) Directory(f func(*directory.Directory)) { f(directory.New()) }

// Fails when the wait has no bound, when it claims that everything is settled,
// or when it does not say what is missing.
func TestUsageThatIsNotSettledIsWaitedForAndThenNamed(t *testing.T) {
	s := &Server{Config: Config{Engine: standing{}}}
	through, err := s.accepted(t.Context(), "")
	if err != nil || len(through) != 2 || through[1] != (UsageThrough{1, 5}) {
		t.Fatalf("%v, %v", through, err)
	}
	for _, test := range []struct {
		name    string
		through []UsageThrough
		missing []string // words of the answer; none: all is settled
	}{
		{"what is settled", []UsageThrough{{0, 9}}, nil},
		{"an earlier position", []UsageThrough{{1, 3}}, nil},
		{"nothing", nil, nil},
		{"what is not settled", []UsageThrough{{1, 5}}, []string{"partition 1 up to position 5", "partition 1 is settled up to 3"}},
		{"both", through, []string{"partition 0 up to position 9", "partition 1 up to position 5", "partition 1 is settled up to 3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			missing, err := s.settled(t.Context(), test.through, 20*time.Millisecond)
			if err != nil || (missing == "") != (len(test.missing) == 0) {
				t.Fatalf("%q, %v", missing, err)
			}
			for _, words := range test.missing {
				if !strings.Contains(missing, words) {
					t.Errorf("%q is not in %q", words, missing)
				}
			}
		})
	}
	t.Run("the caller has gone", func(t *testing.T) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if missing, err := s.settled(gone, through, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("%q, %v", missing, err)
		}
	})
	t.Run("a book that nobody declared has no usage", func(t *testing.T) {
		if list, err := s.accepted(t.Context(), "nobody"); err != nil || len(list) != 0 || list == nil {
			t.Errorf("%v, %v", list, err)
		}
	})
}
