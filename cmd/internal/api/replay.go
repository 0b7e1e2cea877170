package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/audit/replay"
	"github.com/aliquot-engine/aliquot/services/audit/state"
)

// Position is the point at which a replay ends.
type Position struct {
	AsOf     string `query:"as_of" doc:"usage=POSITION, usage=PARTITION/POSITION, control=POSITION, or a time; by default the point up to which everything is settled."`
	Balances bool   `query:"balances" doc:"Return the balances of every account."`
}

func (s *Server) replays() {
	register(s, http.MethodGet, "/v1/state", "state", "Show the state root, the hash of everything that is derived from the streams",
		func(ctx context.Context, _ *struct{}) (*answer[settlement.State], error) {
			var now *settlement.State
			err := s.Store.Snapshot(ctx, func(snapshot *store.Snapshot) (err error) {
				now, err = state.Of(snapshot)
				return err
			})
			if err != nil {
				return nil, err
			}
			return &answer[settlement.State]{*now}, nil
		})
	register(s, http.MethodPost, "/v1/replay", "replay", "Derive everything again from the streams and compare it with the store",
		func(ctx context.Context, in *struct{ Position }) (*answer[replay.Result], error) {
			return s.replay(ctx, in.Position, replay.Config{})
		})
	register(s, http.MethodPost, "/v1/shadow", "shadow", "Derive the ledger with other cards, and list the accounts that would differ",
		func(ctx context.Context, in *struct {
			Position
			Since   uint64 `query:"since" doc:"Position of CONTROL from which the cards are in force; by default the position at which each was first declared."`
			RawBody []byte `contentType:"application/yaml"`
		}) (*answer[replay.Result], error) {
			cards, err := Cards("cards", in.RawBody)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("the cards have mistakes", mistakes(err)...)
			}
			return s.replay(ctx, in.Position, replay.Config{Cards: cards, Since: in.Since})
		})
}

// Cards reads a file that declares only cards. Messages use its name.
func Cards(name string, data []byte) ([]events.CardDeclared, error) {
	bodies, err := apply.Parse(name, data)
	if err != nil {
		return nil, err
	}
	var cards []events.CardDeclared
	for _, b := range bodies {
		card, ok := b.(events.CardDeclared)
		if !ok {
			return nil, fmt.Errorf("%s: only cards can be replaced, but the file has %s", name, events.PhraseOf(b.Kind()))
		}
		cards = append(cards, card)
	}
	if len(cards) == 0 {
		return nil, fmt.Errorf("%s: the file has no card", name)
	}
	return cards, nil
}

func (s *Server) replay(ctx context.Context, at Position, config replay.Config) (*answer[replay.Result], error) {
	config.From = replay.Sources{
		Usage: s.Usage, Control: s.Control, Register: s.Register, Ledger: s.Ledger, Payout: s.Payout,
	}
	config.Live, config.Balances = s.Store, at.Balances
	if at.AsOf != "" {
		var err error
		if config.At, err = replay.ParseAsOf(at.AsOf); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	result, err := replay.Run(ctx, config)
	if interrupted(err) {
		return nil, err
	}
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return &answer[replay.Result]{result}, nil
}
