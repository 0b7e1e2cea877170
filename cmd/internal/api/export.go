package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

// exportPatience is how long an export waits until its data is signed.
const exportPatience = 15 * time.Second

// ExportReport describes a report that can be exported.
type ExportReport struct {
	Report string   `json:"report"`
	Title  string   `json:"title"`
	Takes  []string `json:"takes" doc:"Options that narrow it: book, period, token, at."`
}

type exportQuestion struct {
	Report string        `path:"report" doc:"Name of the report, as /v1/export lists it."`
	Format export.Format `query:"format" default:"csv" doc:"csv, parquet or json."`
	Book   events.Book   `query:"book"`
	Period events.Period `query:"period"`
	Token  events.Token  `query:"token"`
	At     string        `query:"at" doc:"The point up to which the report covers the data; by default everything. A position (ledger:12, payout:3, control:40; for holders register:7), a journal row (settle-0-12, distribute-3), or a time in RFC 3339."`
}

func (s *Server) exports() {
	register(s, http.MethodGet, "/v1/export", "list-exports", "List the reports that can be exported",
		func(context.Context, *struct{}) (*answer[[]ExportReport], error) {
			list := []ExportReport{}
			for _, r := range export.Reports() {
				list = append(list, ExportReport{r.Name, r.Title, append([]string{}, r.Takes...)})
			}
			return &answer[[]ExportReport]{list}, nil
		})
	file := func() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }
	content := map[string]*huma.MediaType{}
	for _, format := range export.Formats() {
		content[format.MediaType()] = &huma.MediaType{Schema: file()}
	}
	huma.Register(s.api, huma.Operation{
		OperationID: "export",
		Method:      http.MethodGet,
		Path:        "/v1/export/{report}",
		Summary:     "Export a report as a file whose rows name the logs that prove them",
		Description: "An answer that ends early, without its last chunk, is not a complete report.",
		Responses:   map[string]*huma.Response{"200": {Description: "The file", Content: content}},
		Errors:      []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}, s.export)
}

func (s *Server) export(ctx context.Context, in *exportQuestion) (*huma.StreamResponse, error) {
	if err := s.signed(ctx); err != nil {
		return nil, s.later(err)
	}
	from := export.Sources{
		Usage: s.Usage, Control: s.Control, Register: s.Register, Ledger: s.Ledger, Payout: s.Payout, Refused: s.Refused,
		Outcomes: s.Store.Outcomes, Void: s.Engine.Void,
	}
	if s.Proofs != nil {
		from.Log = func(name string) (export.Log, error) { return s.Proofs.Log(name) }
	}
	made, err := export.Prepare(ctx, from, in.Report, in.Format, export.Options{Book: in.Book, Period: in.Period, Token: in.Token, At: in.At})
	if errors.Is(err, export.ErrQuestion) {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if err != nil {
		return nil, s.later(err)
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		out := &lateWriter{answer: answer, begin: func() {
			answer.SetHeader("Content-Type", in.Format.MediaType())
			answer.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", made.FileName()))
			answer.SetStatus(http.StatusOK)
		}}
		err := made.Write(out)
		switch {
		case err == nil:
		case !out.begun && interrupted(err):
			s.Logger.Warn("the database could not answer", "cause", err)
			answer.SetHeader("Retry-After", soon)
			_ = huma.WriteErr(s.api, answer, http.StatusServiceUnavailable, busy)
		case !out.begun:
			_ = huma.WriteErr(s.api, answer, http.StatusInternalServerError, err.Error())
		default:
			s.Logger.Error("an export ended early", "report", in.Report, "cause", err)
			panic(http.ErrAbortHandler) // The status has been sent: only a broken connection can report the error.
		}
	}}, nil
}

// lateWriter sends the header with the first byte of the body, so an error
// before that can still be the answer.
type lateWriter struct {
	answer huma.Context
	begin  func()
	begun  bool
}

func (w *lateWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.begin()
	}
	return w.answer.BodyWriter().Write(p)
}

// signed waits until everything that is committed at its call is signed.
func (s *Server) signed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exportPatience)
	defer cancel()
	err := s.Engine.WaitPublished(ctx)
	if err == nil && s.Proofs != nil {
		err = s.Proofs.Wait(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return huma.Error503ServiceUnavailable("the last commits are not signed yet: ask again")
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}
