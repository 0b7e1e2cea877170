package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/registerfile"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Imported is the result of importing a register.
type Imported struct {
	Holders  int    `json:"holders"`
	Units    string `json:"units"`
	LeftOut  string `json:"left_out,omitempty" doc:"Units of the zero address that were not imported."`
	Stream   string `json:"stream"`
	Position uint64 `json:"position" doc:"Last position of the import in REGISTER."`
	Effect   string `json:"effect" enum:"applied,unchanged"`
}

func (s *Server) registers() {
	register(s, http.MethodPost, "/v1/registers/{token}/import", "import-register", "Issue a token's units to the holders of a CSV file",
		func(ctx context.Context, in *struct {
			Token  events.Token `path:"token"`
			File   string       `query:"file" doc:"Name of the file, recorded as the reference."`
			Add    bool         `query:"add" doc:"Issue these units in addition to those of other imports and movements."`
			Supply string       `query:"expected_supply" doc:"Required sum of the units in the file; another sum is refused."`
			Zero   bool         `query:"leave_out_zero" doc:"Skip the line of the zero address, which cannot own units, instead of refusing it."`
			Holder string       `query:"holder" doc:"Column that has the holders; by default holder, account, address, wallet or HolderAddress."`
			Units  string       `query:"units" doc:"Column that has the units; by default units, amount_wei, amount or balance."`
			Places int          `query:"decimals" minimum:"0" maximum:"38" doc:"Decimal places of the token, if the file counts whole tokens."`
			RowQuery
			RawBody []byte `contentType:"text/csv"`
		}) (*answer[Imported], error) {
			rows, err := in.options()
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			o := registerfile.Options{Rows: rows, Holder: in.Holder, Units: in.Units, Decimals: in.Places, LeaveOutZero: in.Zero}
			if in.Supply != "" {
				units, err := o.ParseSupply(in.Supply)
				if err != nil {
					return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("expected_supply: %v", err))
				}
				o.ExpectedSupply = &units
			}
			return s.importRegister(ctx, in.Token, in.File, in.Add, o, in.RawBody)
		})
}

// RowQuery describes the layout of a file of rows, for what the file itself
// does not show.
type RowQuery struct {
	Separator string `query:"separator" doc:"Separator of the fields of CSV; detected by default."`
	Comment   string `query:"comment" doc:"Lines that begin with this character are comments."`
	Skip      int    `query:"skip" minimum:"0" doc:"Number of lines to skip before the header line."`
	Decimal   string `query:"decimal" doc:"Decimal mark of numbers; a point by default."`
	Thousands string `query:"thousands" doc:"Thousands separator of numbers; none by default."`
	Format    string `query:"format" doc:"csv or json; detected by default."`
}

func (q *RowQuery) options() (rowfile.Options, error) {
	f := rowfile.Flags{Format: q.Format, Separator: q.Separator, Comment: q.Comment, Skip: q.Skip, Decimal: q.Decimal, Thousands: q.Thousands}
	return f.Options("")
}

// importRegister issues the units in a file. The ids of its messages follow
// from the file, so the same file completes an import that was interrupted, and
// changes nothing after a complete one. Another file would issue units a second
// time, so it is refused unless add is set.
func (s *Server) importRegister(ctx context.Context, token events.Token, name string, add bool, o registerfile.Options, data []byte) (*answer[Imported], error) {
	known := false
	s.Engine.Directory(func(d *directory.Directory) { _, known = d.Token(token) })
	if !known {
		return nil, huma.Error404NotFound(fmt.Sprintf("token %q is not declared", token))
	}
	name = orName(name, "register.csv")
	// The file is read twice: first to find its errors, then message by message
	// to record it, because the movements of a large file take several times
	// its size.
	file, err := registerfile.Open(bytes.NewReader(data), o)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %v", name, err))
	}
	done := Imported{Holders: file.Holders, Units: file.Supply.String(), Stream: eventlog.RegisterStream, Effect: "unchanged"}
	if !file.Zero.IsZero() {
		done.LeftOut = file.Zero.String()
	}
	there, err := s.recorded(ctx, token)
	if err != nil {
		return nil, unavailable(err)
	}
	for id := range there {
		if !add && !events.IsOfImport(id, file.ID) {
			return nil, huma.Error409Conflict(fmt.Sprintf(
				"token %q has a register already, and %s is another file: importing it would issue its units in addition to those; set add if this is intended", token, name))
		}
	}
	// The append requires that nobody else has recorded for the token
	// meanwhile: two simultaneous imports must not both find the register
	// empty.
	var last uint64
	for _, position := range there {
		last = max(last, position)
	}
	head := events.Movements{Token: token, Actor: actorOf(ctx).name, At: s.Now().UTC()}
	err = file.Messages(head, name, func(part *events.Movements) error {
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
			return huma.Error409Conflict(fmt.Sprintf("another request recorded movements of token %q at the same time: check the register and import again", token))
		}
		if err != nil {
			return unavailable(err)
		}
		last = position
		done.Effect, done.Position = "applied", position
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

// movements calls each for a token's register messages in order, until each
// returns false.
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

// recordPosition returns the last position of a token's register whose message
// is not later than an instant. The later one of a message's effective and
// recorded times counts.
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
