package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Screened is the result of importing a screening list.
type Screened struct {
	Entries  int    `json:"entries" doc:"Holders on the list."`
	Matches  int    `json:"matches" doc:"How many of them a register names, including those who hold no units now but are still owed something."`
	Stream   string `json:"stream"`
	Position uint64 `json:"position" doc:"Last position of the list in CONTROL; 0 if nothing was appended."`
	Effect   string `json:"effect" enum:"applied,unchanged"`
}

func (s *Server) screening() {
	register(s, http.MethodPost, "/v1/holds/{list}", "import-holds", "Replace a screening list with a text or CSV file",
		func(ctx context.Context, in *struct {
			List    string `path:"list"`
			File    string `query:"file" doc:"Name of the file, for messages."`
			Column  string `query:"column" doc:"Column of a CSV file that has the holders; by default holder, account, address or wallet. A file without such a header has one holder per line."`
			Empty   bool   `query:"empty" doc:"Allow an empty list, which removes every holder from it."`
			RawBody []byte `contentType:"text/plain"`
		}) (*answer[Screened], error) {
			holders, err := registerfile.ReadList(bytes.NewReader(in.RawBody), in.Column)
			if err == nil && len(holders) == 0 && !in.Empty {
				err = fmt.Errorf("the file lists no holders: set empty if every holder is meant to be removed from the list")
			}
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", orName(in.File, "list"), err))
			}
			return s.screen(ctx, in.List, holders)
		})
}

func orName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// screen replaces a screening list.
func (s *Server) screen(ctx context.Context, list string, holders []events.Holder) (*answer[Screened], error) {
	var proposals []proposal
	for _, d := range registerfile.Decisions(list, holders) {
		proposals = append(proposals, proposal{body: d})
	}
	results, err := s.decide(ctx, proposals...)
	if err != nil {
		return nil, err
	}
	done := Screened{Entries: len(holders), Stream: eventlog.ControlStream, Effect: "unchanged"}
	for _, r := range results {
		if r.Effect == "void" {
			return nil, huma.Error409Conflict(r.Reason)
		}
		if r.Effect == "applied" {
			done.Effect, done.Position = "applied", r.Position
		}
	}
	if done.Matches, err = s.matches(ctx, holders); err != nil {
		return nil, unavailable(err)
	}
	return &answer[Screened]{done}, nil
}

// matches counts the holders of a list whom the register of any token names.
func (s *Server) matches(ctx context.Context, list []events.Holder) (int, error) {
	var tokens []events.TokenDeclared
	s.Engine.Directory(func(d *directory.Directory) { tokens = d.Tokens() })
	absent := make(map[events.Holder]struct{}, len(list))
	for _, h := range list {
		absent[h] = struct{}{}
	}
	for _, token := range tokens {
		err := s.movements(ctx, token.Token, func(_ uint64, m *events.Movements) bool {
			for i := range m.Movements {
				delete(absent, m.Movements[i].From)
				delete(absent, m.Movements[i].To)
			}
			return len(absent) > 0
		})
		if err != nil {
			return 0, err
		}
	}
	return len(list) - len(absent), nil
}
