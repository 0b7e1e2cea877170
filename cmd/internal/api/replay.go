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

// Position is the point that a replay ends at.
type Position struct {
	AsOf     string `query:"as_of" doc:"usage=POSITION, usage=PARTITION/POSITION, control=POSITION, or a time; by default as far as everything is settled."`
	Balances bool   `query:"balances" doc:"Give the balances of every account."`
}

func (s *Server) replays() {
	register(s, http.MethodGet, "/v1/state", "state", "The state root: everything that was derived from the streams, in one line",
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
	register(s, http.MethodPost, "/v1/replay", "replay", "Derive everything again from the streams and compare",
		func(ctx context.Context, in *struct{ Position }) (*answer[replay.Result], error) {
			return s.replay(ctx, in.Position, replay.Config{})
		})
	register(s, http.MethodPost, "/v1/shadow", "shadow", "Derive what would be with other cards, and list the accounts that would differ",
		func(ctx context.Context, in *struct {
			Position
			Since   uint64 `query:"since" doc:"The cards hold from this position of CONTROL on; by default from where each was first declared."`
			RawBody []byte `contentType:"application/yaml"`
		}) (*answer[replay.Result], error) {
			cards, err := Cards("cards", in.RawBody)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("the cards have mistakes", mistakes(err)...)
			}
			return s.replay(ctx, in.Position, replay.Config{Cards: cards, Since: in.Since})
		})
}

// Cards reads the cards of a file that declares nothing else; its name is for
// messages.
func Cards(name string, data []byte) ([]events.CardDeclared, error) {
	bodies, err := apply.Parse(name, data)
	if err != nil {
		return nil, err
	}
	var cards []events.CardDeclared
	for _, b := range bodies {
		card, ok := b.(events.CardDeclared)
		if !ok {
			return nil, fmt.Errorf("%s: only cards can be replaced, not a %s", name, b.Kind())
		}
		cards = append(cards, card)
	}
	if len(cards) == 0 {
		return nil, fmt.Errorf("%s: there is no card", name)
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
