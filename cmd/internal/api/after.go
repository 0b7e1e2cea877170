package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/summary"
)

const (
	// settleBound is how long a request waits for usage that was accepted
	// before it. At the measured rate a settler settles some ten million events
	// in this time, and a settler that has stopped is reported soon enough.
	settleBound = 30 * time.Second
	// readBound is how long an answer that only reads waits for that usage;
	// after it, the answer says what is missing.
	readBound = 10 * time.Second
	// effectBound is how long a request waits for its decision to take effect.
	effectBound = 2 * time.Minute
)

// UsageIncluded says which usage an answer includes.
type UsageIncluded struct {
	Through []UsageThrough `json:"through" doc:"Usage that was accepted up to these positions is included."`
	Waiting []summary.Wait `json:"waiting" doc:"Quantities that wait for a price: they are charged when they are released, and are not included."`
}

// UsageThrough is a position in the usage of a partition.
type UsageThrough struct {
	Partition int    `json:"partition"`
	Position  uint64 `json:"position" doc:"Position in USAGE."`
}

func (u UsageThrough) String() string {
	return fmt.Sprintf("USAGE of partition %d up to position %d", u.Partition, u.Position)
}

// accepted returns the current ends of the usage of a book, or of every book if
// book is empty: all usage that was answered as accepted before the call is at
// or before them.
func (s *Server) accepted(ctx context.Context, book events.Book) ([]UsageThrough, error) {
	status, err := s.Engine.Status(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	var of directory.Book
	known := book == ""
	s.Engine.Directory(func(d *directory.Directory) {
		if book != "" {
			of, known = d.Book(book)
		}
	})
	list := []UsageThrough{}
	for _, p := range status.Partition {
		if known && (book == "" || p.Partition == of.Partition) {
			list = append(list, UsageThrough{p.Partition, p.Last})
		}
	}
	return list, nil
}

// effective waits until CONTROL is in effect up to position k, no longer than
// [effectBound]; waiting says in the error what the request was waiting for.
func (s *Server) effective(ctx context.Context, k uint64, waiting string, values ...any) error {
	within, cancel := context.WithTimeout(ctx, effectBound)
	defer cancel()
	if err := s.Engine.WaitEffective(within, k); err != nil {
		return unavailable(fmt.Errorf("%s: %w", fmt.Sprintf(waiting, values...), err))
	}
	return nil
}

// including does something that rests on the usage of a book, and says which usage
// that is: what was accepted before, to which do may wait.
func (s *Server) including(ctx context.Context, book events.Book, do func(through []UsageThrough) error) (UsageIncluded, error) {
	through, err := s.accepted(ctx, book)
	if err != nil {
		return UsageIncluded{}, err
	}
	if err := do(through); err != nil {
		return UsageIncluded{}, err
	}
	return s.included(ctx, book, through)
}

// waitSettled returns when usage up to these positions is settled.
func (s *Server) waitSettled(ctx context.Context, through []UsageThrough) error {
	for _, u := range through {
		if err := s.Engine.WaitSettled(ctx, u.Partition, u.Position); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until usage up to these positions is settled, but no longer
// than bound; missing says what is not settled by then.
func (s *Server) settled(ctx context.Context, through []UsageThrough, bound time.Duration) (missing string, err error) {
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err = s.waitSettled(within, through)
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err() // the caller has gone
	case within.Err() != nil:
		return s.unsettled(ctx, through, bound), nil
	}
	return "", unavailable(err)
}

// unsettled says which usage is not settled yet, and how far its partitions
// have come.
func (s *Server) unsettled(ctx context.Context, through []UsageThrough, bound time.Duration) string {
	text := make([]string, len(through))
	for i, u := range through {
		text[i] = u.String()
	}
	what := fmt.Sprintf("usage that was accepted before (%s) is not settled after %v", strings.Join(text, ", "), bound)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if status, err := s.Engine.Status(ctx); err == nil {
		for _, p := range status.Partition {
			for _, u := range through {
				if u.Partition == p.Partition && p.Settled < u.Position {
					what += fmt.Sprintf("; partition %d is settled up to %d", p.Partition, p.Settled)
				}
			}
		}
		if !status.Healthy {
			what += ": " + status.Reason
		}
	}
	return what
}

// included says which usage of a book is included in a result that was computed
// after through was read.
func (s *Server) included(ctx context.Context, book events.Book, through []UsageThrough) (UsageIncluded, error) {
	lines, err := s.Store.Suspense(ctx, book)
	if err != nil {
		return UsageIncluded{}, err
	}
	waiting, err := summary.Waits(lines)
	return UsageIncluded{Through: through, Waiting: waiting}, err
}

// UnsettledHeader is a header of answers that only read. It names the usage
// that was accepted before the request and is not in the answer.
const UnsettledHeader = "Aliquot-Unsettled"

// stated is an answer that should include the usage accepted before it.
type stated[T any] struct {
	Unsettled string `header:"Aliquot-Unsettled" doc:"Usage that was accepted before the request but is not in the answer, because it is not settled yet. Absent if the answer includes all of it."`
	Body      T
}

// reading waits until the usage accepted before is settled, up to readBound.
func (s *Server) reading(ctx context.Context) (missing string, err error) {
	through, err := s.accepted(ctx, "")
	if err != nil {
		return "", err
	}
	return s.settled(ctx, through, readBound)
}
