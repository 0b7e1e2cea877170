package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Imported says what an import did.
type Imported struct {
	Holders  int    `json:"holders"`
	Units    string `json:"units,omitempty"`
	Stream   string `json:"stream"`
	Position uint64 `json:"position" doc:"It is in the stream up to here."`
	Effect   string `json:"effect" enum:"applied,unchanged"`
}

func (s *Server) registers() {
	register(s, http.MethodPost, "/v1/registers/{token}/import", "import-register", "Issue a token's units to the holders of a CSV file",
		func(ctx context.Context, in *struct {
			Token   events.Token `path:"token"`
			File    string       `query:"file" doc:"Name of the file, kept as reference."`
			Add     bool         `query:"add" doc:"Issue beside what other imports and movements have issued."`
			RawBody []byte       `contentType:"text/csv"`
		}) (*answer[Imported], error) {
			return s.importRegister(ctx, in.Token, in.File, in.Add, in.RawBody)
		})
	register(s, http.MethodPost, "/v1/holds/{list}", "import-holds", "Replace a screening list",
		func(ctx context.Context, in *struct {
			List    string `path:"list"`
			RawBody []byte `contentType:"text/plain"`
		}) (*answer[Imported], error) {
			holders, err := registerfile.ReadList(bytes.NewReader(in.RawBody))
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			var proposals []proposal
			for _, d := range registerfile.Decisions(in.List, holders) {
				proposals = append(proposals, proposal{body: d})
			}
			results, err := s.decide(ctx, proposals...)
			if err != nil {
				return nil, err
			}
			done := Imported{Holders: len(holders), Stream: eventlog.ControlStream, Effect: "unchanged"}
			for _, r := range results {
				if r.Effect == "void" {
					return nil, huma.Error409Conflict(r.Reason)
				}
				if r.Effect == "applied" {
					done.Effect, done.Position = "applied", r.Position
				}
			}
			return &answer[Imported]{done}, nil
		})
}

// importRegister issues what a file says, in messages whose ids come from the
// file's bytes: an import that was cut short is completed by the same file, and
// one that was complete changes nothing. Another file would issue a second
// time, so it is refused unless add says that this is meant.
func (s *Server) importRegister(ctx context.Context, token events.Token, name string, add bool, file []byte) (*answer[Imported], error) {
	known := false
	s.Engine.Directory(func(d *directory.Directory) { _, known = d.Token(token) })
	if !known {
		return nil, huma.Error404NotFound(fmt.Sprintf("token %q is not declared", token))
	}
	sum := sha256.Sum256(file)
	now := s.Now().UTC()
	if name == "" {
		name = "register.csv"
	}
	whole := events.Movements{
		ID: "import-" + hex.EncodeToString(sum[:8]), Token: token, Actor: actorOf(ctx).name, At: now,
	}
	// Read once for its errors, and again, message by message, to be recorded: the
	// movements of a large file are several times its size.
	summary, err := registerfile.ReadHoldings(bytes.NewReader(file), func(events.Holder, money.Units) error { return nil })
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", name, err))
	}
	done := Imported{Holders: summary.Holders, Units: summary.Supply.String(), Stream: eventlog.RegisterStream, Effect: "unchanged"}
	there, err := s.recorded(ctx, token)
	if err != nil {
		return nil, unavailable(err)
	}
	for id := range there {
		if !add && !strings.HasPrefix(id, whole.ID) {
			return nil, huma.Error409Conflict(fmt.Sprintf(
				"token %q has a register already, and %s is another file: importing it would issue its units beside those there; say add if that is meant", token, name))
		}
	}
	// On condition that nobody else records for the token meanwhile: two imports
	// at once must not both find it empty.
	var last uint64
	for _, position := range there {
		last = max(last, position)
	}
	record := func(part *events.Movements) error {
		if position, ok := there[part.ID]; ok {
			done.Position = max(done.Position, position)
			return nil
		}
		data, err := events.AppendMovements(nil, part)
		if err != nil {
			return huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", name, err))
		}
		position, err := s.Register.Publish(ctx, eventlog.RegisterSubject(string(token)), data, eventlog.PublishOptions{ExpectLastSubjectSeq: &last})
		if errors.Is(err, eventlog.ErrWrongLastSequence) {
			return huma.Error409Conflict(fmt.Sprintf("somebody else recorded movements of token %q at the same time: look, and import again", token))
		}
		if err != nil {
			return unavailable(err)
		}
		last = position
		done.Effect, done.Position = "applied", position
		return nil
	}
	_, err = registerfile.Import(bytes.NewReader(file), whole, func(some events.Movements) error {
		for i := range some.Movements {
			some.Movements[i].Ref = name
		}
		for _, part := range events.SplitMovements(some, events.MaxMovements) {
			if err := record(&part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &answer[Imported]{done}, nil
}

// recorded returns the positions of a token's register messages by their ids.
func (s *Server) recorded(ctx context.Context, token events.Token) (map[string]uint64, error) {
	there := make(map[string]uint64)
	err := s.movements(ctx, token, func(position uint64, m *events.Movements) bool {
		there[m.ID] = position
		return true
	})
	return there, err
}

// movements calls each for a token's register messages in order, until it says no.
func (s *Server) movements(ctx context.Context, token events.Token, each func(position uint64, m *events.Movements) bool) error {
	subject := eventlog.RegisterSubject(string(token))
	last, err := s.Register.GetLastFor(ctx, subject)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	reader, err := s.Register.Read(ctx, 1, subject)
	if err != nil {
		return err
	}
	defer reader.Stop()
	for {
		message, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		m, err := events.DecodeMovements(message.Data)
		if err != nil {
			return fmt.Errorf("reading REGISTER position %d: %w", message.Seq, err)
		}
		if !each(message.Seq, &m) || message.Seq >= last.Seq {
			return nil
		}
	}
}

// recordPosition returns the last position of a token's register that holds
// nothing later than an instant: effective or recorded, whichever is later in
// the message, decides.
func (s *Server) recordPosition(ctx context.Context, token events.Token, at time.Time) (position uint64, err error) {
	err = s.movements(ctx, token, func(p uint64, m *events.Movements) bool {
		for i := range m.Movements {
			if m.Movements[i].Effective.After(at) {
				return false
			}
		}
		position = p
		return true
	})
	return position, err
}
