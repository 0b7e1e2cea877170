// Package api is the HTTP API of aliquot: every command of the binary, and
// every program that a user writes, reads and decides through it.
//
// A write is a decision. It is appended to CONTROL with its actor, and the
// answer is sent only when the decision has taken effect everywhere or was
// found void, so the caller can rely on it at once. A read is one snapshot of
// the store. The OpenAPI description is generated from the types here.
//
// # Invariants
//
//   - Every write goes through CONTROL, REGISTER or the usage stream.
//   - Every decision names an authenticated actor.
//   - Repeating a request (same reference, same declaration) decides nothing new.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
	"github.com/aliquot-engine/aliquot/services/audit/issue"
	"github.com/aliquot-engine/aliquot/services/console/verifier"
)

// Version is the version of the API and of the binary.
const Version = "0.1.0"

// Engine is what the running services offer to the API. Its waits return early
// with the context's error, or with the error that stopped a service.
type Engine interface {
	// WaitEffective returns when CONTROL is in effect up to position k in every
	// partition, and in distribution if distribution acts on decisions of that
	// kind.
	WaitEffective(ctx context.Context, k uint64) error
	// WaitSettled returns when partition p has settled USAGE up to position pos.
	WaitSettled(ctx context.Context, p int, pos uint64) error
	// WaitPublished returns when everything settled and distributed so far is in
	// LEDGER and PAYOUT.
	WaitPublished(ctx context.Context) error
	// Void says why the decision at CONTROL position k had no effect; empty if it had.
	Void(ctx context.Context, k uint64) (string, error)
	// Declaration returns a distribution's declaration that rests on all data
	// there is now. The period must be closed; it waits until the period is
	// settled.
	Declaration(ctx context.Context, id string, token events.TokenDeclared, period events.Period, recordDate time.Time) (events.DistributionDeclared, error)
	// Directory calls f with the directory as far as it is in effect. f must
	// not retain it.
	Directory(f func(*directory.Directory))
	// Status is the state of every loop.
	Status(ctx context.Context) (Status, error)
}

// Config is what a [Server] needs.
type Config struct {
	Engine   Engine
	Control  *eventlog.Stream
	Register *eventlog.Stream
	Ledger   *eventlog.Stream
	Usage    []*eventlog.Stream // one for each partition
	Payout   *eventlog.Stream
	Refused  *eventlog.Stream
	Store    *store.DB
	IDs      explain.Identities // finds events without a sequence by their ids; nil: only their handles find them
	Streams  *eventlog.Log      // for replay
	Ingest   http.Handler       // POST /v1/events and the paths beside it
	Logs     http.Handler       // GET /tlog/…, public
	Metrics  http.Handler       // GET /metrics; nil: it is not served
	Proofs   *Proofs            // for receipts; nil if no logs are kept
	Running  http.Handler       // GET /running: whether this process holds a folder; nil: it is not served
	Now      func() time.Time   // stamps decisions
	Logger   *slog.Logger       // nil: slog.Default
	// OperatorSHA256 is the SHA-256 of the folder's own operator token.
	OperatorSHA256 [32]byte
}

// Server answers the API's requests.
type Server struct {
	Config
	mux *http.ServeMux
	api huma.API

	decisions *issue.Decisions // that receipts have read so far
	observed  observations     // with which imports of quotes are compared
}

// New returns the API of an engine.
func New(config Config) *Server {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	s := &Server{Config: config, mux: http.NewServeMux(), decisions: issue.NewDecisions()}
	settings := huma.DefaultConfig("aliquot", Version)
	settings.Info.Description = "Turn compute usage into money, and money into payouts, exactly."
	settings.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	settings.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer"},
	}
	settings.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	settings.Servers = []*huma.Server{{URL: "/", Description: "The server that this description comes from."}}
	settings.Security = []map[string][]string{{"bearer": {}}}
	settings.CreateHooks = nil // no $schema member in answers
	settings.DocsPath = ""     // the default viewer loads scripts from other hosts
	// A member of a request is read once, and only under its own name.
	format := huma.DefaultJSONFormat
	format.Unmarshal = strict.Decode
	settings.Formats = map[string]huma.Format{"application/json": format, "json": format}
	s.api = humago.New(s.mux, settings)
	s.api.UseMiddleware(s.authenticate)
	s.health()
	s.books()
	s.declarations()
	s.moneyIn()
	s.quotes()
	s.withdrawals()
	s.registers()
	s.screening()
	s.distributions()
	s.payouts()
	s.payoutRuns()
	s.reads()
	s.audits()
	s.receipts()
	s.exports()
	s.usage()
	// It was registered for a member that callers omit, so no operation refers
	// to it.
	delete(s.api.OpenAPI().Components.Schemas.Map(), "EventsLogState")
	if config.Ingest != nil {
		s.mux.Handle("/v1/events", config.Ingest)
		s.mux.Handle("/v1/usage/", config.Ingest)
	}
	if config.Logs != nil {
		s.mux.Handle("GET /tlog/", config.Logs)
	}
	if config.Metrics != nil {
		s.mux.HandleFunc("GET /metrics", s.metrics)
	}
	if config.Running != nil {
		s.mux.Handle("GET /running", config.Running)
	}
	s.mux.Handle("GET /verify", verifier.Handler())
	viewer := docs()
	s.mux.Handle("GET "+docsPath, viewer)
	s.mux.Handle("GET "+docsPath+"/", viewer)
	return s
}

// ServeHTTP implements [http.Handler]. By default an answer is for its caller
// only, so it must not be cached and its type must not be guessed. Public
// answers set their own headers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

// OpenAPI returns the description of the API as YAML.
func (s *Server) OpenAPI() ([]byte, error) { return s.api.OpenAPI().YAML() }

// register adds one operation. Operations that only read are open to auditors.
func register[I, O any](s *Server, method, path, id, summary string, do func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, huma.Operation{
		OperationID:     id,
		Method:          method,
		Path:            path,
		Summary:         summary,
		MaxBodyBytes:    256 << 20,
		BodyReadTimeout: 10 * time.Minute,
		Errors:          refusals(method, path, reflect.TypeFor[I]().NumField() > 0),
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		return out, s.later(err)
	})
}

// refusals returns the error statuses that an operation can answer with.
func refusals(method, path string, takes bool) []int {
	switch path {
	case livePath:
		return nil // The process answers, or it does not.
	case readyPath:
		return []int{http.StatusServiceUnavailable}
	}
	statuses := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}
	if takes {
		statuses = append(statuses, http.StatusBadRequest, http.StatusUnprocessableEntity)
	}
	if strings.Contains(path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if method != http.MethodGet {
		statuses = append(statuses, http.StatusConflict, http.StatusInsufficientStorage)
	}
	return statuses
}

// answer wraps a body as huma wants it.
type answer[T any] struct{ Body T }

// schemaName names a type in the description: by its own name if it is of this
// package, otherwise with the name of its package.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if of := path.Base(t.PkgPath()); of != "api" && of != "." {
		return strings.ToUpper(of[:1]) + of[1:] + name
	}
	return name
}
