package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
	"github.com/aliquot-engine/aliquot/services/audit/issue"
)

// Proofs has what receipts and exports need to prove their content.
type Proofs struct {
	Key       *tlog.PublicKey
	Handovers [][]byte // signed statements by which earlier keys handed over to this one
	Logs      []string // names
	Log       func(name string) (*tiles.Reader, error)
	// Wait returns when everything that is committed at its call is signed.
	Wait func(ctx context.Context) error
}

const (
	// signPatience is how long a request for a receipt waits until a checkpoint
	// covers what the receipt is about.
	signPatience = 3 * time.Second
	signPoll     = 50 * time.Millisecond
)

func (s *Server) receipts() {
	register(s, http.MethodGet, "/v1/receipt", "receipt", "Make a file that proves an event, a journal row or a payout",
		func(ctx context.Context, in *struct {
			ID string `query:"id" doc:"A payout, a journal row, or a usage event as source#id, source#sequence, source#epoch/sequence or partition/position/ordinal; with source, only the id that the source gave it."`
			EventIdentity
		}) (*answer[*receipt.Receipt], error) {
			if s.Proofs == nil {
				return nil, huma.Error503ServiceUnavailable("no logs are kept here, so nothing can be proved")
			}
			id, err := s.named(ctx, in.ID, in.EventIdentity)
			if err != nil {
				return nil, err
			}
			made, err := s.issue(ctx, id)
			switch {
			case errors.Is(err, explain.ErrAmbiguous):
				return nil, unnamed(err)
			case errors.Is(err, explain.ErrUnknown), errors.Is(err, issue.ErrNone):
				return nil, huma.Error404NotFound(err.Error())
			case errors.Is(err, issue.ErrEarly):
				return nil, huma.Error503ServiceUnavailable(err.Error())
			case err != nil:
				return nil, err
			}
			return &answer[*receipt.Receipt]{made}, nil
		})
}

// issue makes a receipt; it waits up to signPatience for the checkpoint.
func (s *Server) issue(ctx context.Context, id string) (*receipt.Receipt, error) {
	from := issue.Sources{
		Sources:  s.explained(),
		Register: s.Register, Payout: s.Payout, Key: s.Proofs.Key, Handovers: s.Proofs.Handovers, Log: s.Proofs.Log,
		Decisions: s.decisions,
	}
	var made *receipt.Receipt
	err := retry.Policy{
		Pause:  signPoll,
		Again:  func(err error) bool { return errors.Is(err, issue.ErrEarly) },
		Enough: func(_ int, since time.Duration) bool { return since > signPatience },
	}.Do(ctx, func() (err error) {
		made, err = issue.Issue(ctx, from, id)
		return err
	})
	return made, err
}
