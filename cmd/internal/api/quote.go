package api

import (
	"context"
	"net/http"

	"github.com/aliquot-engine/aliquot/pkg/events"
)

// roundsPerDecision keeps a decision far below the stream's message limit.
const roundsPerDecision = 2000

func (s *Server) quotes() {
	register(s, http.MethodPost, "/v1/quotes", "observe-quotes", "Record rounds of one source of a pair, ascending in time",
		func(ctx context.Context, in *struct {
			Body events.QuotesObserved
		}) (*answer[Observed], error) {
			return s.observe(ctx, in.Body)
		})
	register(s, http.MethodPost, "/v1/suspense/release", "release-suspense", "Price the usage that waits for a pair at a named round",
		func(ctx context.Context, in *struct {
			Body events.SuspenseReleased
		}) (*answer[Decided], error) {
			return s.decideOne(ctx, "", in.Body)
		})
}

// decided records proposals and counts their results.
func (s *Server) decided(ctx context.Context, proposals []proposal) (*answer[Applied], error) {
	results, err := s.decide(ctx, proposals...)
	if err != nil {
		return nil, err
	}
	return &answer[Applied]{count(results)}, nil
}

func count(results []Decided) Applied {
	out := Applied{Void: []Decided{}}
	for _, r := range results {
		switch r.Effect {
		case "applied":
			out.Applied++
		case "unchanged":
			out.Unchanged++
		default:
			out.Void = append(out.Void, r)
		}
	}
	return out
}
