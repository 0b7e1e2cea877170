package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nats-io/nkeys"

	"github.com/aliquot-engine/aliquot/cmd/internal/apply"
	"github.com/aliquot-engine/aliquot/cmd/internal/document"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/quotes"
	"github.com/aliquot-engine/aliquot/services/ingest/natsapi"
)

// Applied is the result of a set of declarations.
type Applied struct {
	Applied   int       `json:"applied"`
	Unchanged int       `json:"unchanged"`
	Void      []Decided `json:"void" doc:"Declarations without effect, with the reason."`
	Warnings  []string  `json:"warnings,omitempty" doc:"Declarations that are in effect and may be a mistake, each with its place."`
}

// Key is a key that was made: either with a secret, which is shown once, or for
// an nkey, whose seed only its owner knows.
type Key struct {
	Key     string `json:"key"`
	Secret  string `json:"secret,omitempty" doc:"The bearer token. It is not stored anywhere: keep it."`
	NKey    string `json:"nkey,omitempty"`
	Subject string `json:"subject,omitempty" doc:"NATS subject to which the owner of the nkey publishes usage, as a request."`
	Inbox   string `json:"inbox,omitempty" doc:"Prefix of the NATS inbox at which the client must receive the answers."`
}

// ListedKey is a key that was issued, as a list shows it: without its secret.
type ListedKey struct {
	Key      string          `json:"key" doc:"Public name of the key."`
	Scope    string          `json:"scope" enum:"operator,provider,auditor"`
	Provider events.Provider `json:"provider,omitempty" doc:"Whose usage the key may send."`
	NKey     string          `json:"nkey,omitempty" doc:"Public nkey, if the key is for NATS."`
	Revoked  bool            `json:"revoked"`
}

func (s *Server) declarations() {
	register(s, http.MethodPost, "/v1/apply", "apply", "Declare providers, books, nodes, customers, meters, cards, tokens and waterfalls from YAML",
		func(ctx context.Context, in *struct {
			File    string `query:"file" doc:"Name of the file, for messages."`
			RawBody []byte `contentType:"application/yaml"`
		}) (*answer[Applied], error) {
			all, err := apply.Read(in.File, in.RawBody, nil)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("the declarations have mistakes", mistakes(err)...)
			}
			return s.declareAll(ctx, all)
		})
	register(s, http.MethodPost, "/v1/names", "declare-names", "Declare nodes and customers of a book by their names only",
		func(ctx context.Context, in *struct {
			Body struct {
				Book      events.Book       `json:"book"`
				Nodes     []events.Node     `json:"nodes,omitempty" maxItems:"1000000"`
				Customers []events.Customer `json:"customers,omitempty" maxItems:"1000000"`
			}
		}) (*answer[Applied], error) {
			var bodies []events.Body
			for _, n := range in.Body.Nodes {
				bodies = append(bodies, events.NodeDeclared{Node: n, Book: in.Body.Book})
			}
			for _, c := range in.Body.Customers {
				bodies = append(bodies, events.CustomerDeclared{Customer: c, Book: in.Body.Book})
			}
			return s.declare(ctx, s.undeclared(bodies))
		})
	register(s, http.MethodPost, "/v1/keys", "create-key", "Make a key for an operator, a provider or an auditor",
		func(ctx context.Context, in *struct {
			Body struct {
				Key      string          `json:"key" doc:"Public name of the key."`
				Scope    string          `json:"scope" enum:"operator,provider,auditor"`
				Provider events.Provider `json:"provider,omitempty"`
				NKey     string          `json:"nkey,omitempty" doc:"The public nkey of a user (U…), with which a provider publishes usage over NATS. The key then has no secret."`
			}
		}) (*answer[Key], error) {
			if issued, revoked, taken := s.issued(in.Body.Key); taken && (issued.NKey == "" || issued.NKey != in.Body.NKey || revoked) {
				// Nothing is recorded: the secret was shown once, and only its
				// reader knows it.
				advice := "if its secret was not read, revoke it and issue one under another name"
				if revoked {
					advice = "it is revoked, and its name cannot be used again"
				}
				return nil, huma.Error409Conflict(fmt.Sprintf("key %q was issued before: %s", in.Body.Key, advice))
			}
			if in.Body.NKey != "" {
				return s.nkey(ctx, events.KeyIssued{Key: in.Body.Key, NKey: in.Body.NKey, Scope: in.Body.Scope, Provider: in.Body.Provider})
			}
			var secret [32]byte
			_, _ = rand.Read(secret[:]) // never fails
			token := "alq_" + hex.EncodeToString(secret[:])
			sum := sha256.Sum256([]byte(token))
			_, err := s.decideOne(ctx, "", events.KeyIssued{
				Key: in.Body.Key, SHA256: hex.EncodeToString(sum[:]), Scope: in.Body.Scope, Provider: in.Body.Provider,
			})
			if err != nil {
				return nil, err
			}
			return &answer[Key]{Key{Key: in.Body.Key, Secret: token}}, nil
		})
	register(s, http.MethodGet, "/v1/keys", "list-keys", "List every key that was issued, ascending by name, without its secret",
		func(_ context.Context, _ *struct{}) (*answer[[]ListedKey], error) {
			list := []ListedKey{}
			s.Engine.Directory(func(d *directory.Directory) {
				for k, revoked := range d.AllKeys() {
					list = append(list, ListedKey{Key: k.Key, Scope: k.Scope, Provider: k.Provider, NKey: k.NKey, Revoked: revoked})
				}
			})
			return &answer[[]ListedKey]{list}, nil
		})
	register(s, http.MethodDelete, "/v1/keys/{key}", "revoke-key", "Revoke a key",
		func(ctx context.Context, in *struct {
			Key string `path:"key"`
		}) (*answer[Decided], error) {
			body := events.KeyRevoked{Key: in.Key}
			if _, revoked, _ := s.issued(in.Key); revoked {
				return &answer[Decided]{Decided{Kind: body.Kind(), Effect: "unchanged"}}, nil
			}
			return s.decideOne(ctx, "", body)
		})
}

// nkey issues a key to the owner of an nkey.
func (s *Server) nkey(ctx context.Context, b events.KeyIssued) (*answer[Key], error) {
	switch {
	case b.Scope != "provider":
		return nil, huma.Error422UnprocessableEntity("an nkey only sends usage over NATS: its scope is provider")
	case !nkeys.IsValidPublicUserKey(b.NKey):
		return nil, huma.Error422UnprocessableEntity("nkey is not the public nkey of a user, which begins with U: one of its letters may be wrong, or it is a seed, which is secret and must not be sent")
	}
	if _, err := s.decideOne(ctx, "", b); err != nil {
		return nil, err
	}
	return &answer[Key]{Key{Key: b.Key, NKey: b.NKey, Subject: natsapi.Subject(b.Provider), Inbox: natsapi.InboxPrefix(b.Provider)}}, nil
}

// issued returns a key that was issued under a name.
func (s *Server) issued(name string) (key events.KeyIssued, revoked, ok bool) {
	s.Engine.Directory(func(d *directory.Directory) { key, revoked, ok = d.Issued(name) })
	return key, revoked, ok
}

// settles reports whether this installation has a partition.
func (s *Server) settles(partition int) bool {
	return eventlog.OfPartition(partition, s.Usage...) != nil
}

// settledHere refuses a book whose partition does not exist here: the book
// could never be moved, and all its usage would be refused.
func (s *Server) settledHere(body events.Body) error {
	if book, ok := body.(events.BookDeclared); ok && !s.settles(book.Partition) {
		return fmt.Errorf("book %s: no process here settles partition %d: start with more partitions first", book.Book, book.Partition)
	}
	return nil
}

// declare records declarations and counts their results.
func (s *Server) declare(ctx context.Context, bodies []events.Body) (*answer[Applied], error) {
	proposals := make([]proposal, len(bodies))
	for i, b := range bodies {
		if err := s.settledHere(b); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		proposals[i] = proposal{body: b}
	}
	return s.decided(ctx, proposals)
}

// declareAll records all declarations of a file or none. If any of them could
// not take effect now, it names those, and nothing is recorded.
func (s *Server) declareAll(ctx context.Context, all []apply.Declaration) (*answer[Applied], error) {
	bodies := make([]events.Body, len(all))
	var wrong []error
	for i, d := range all {
		bodies[i] = d.Body
		if err := s.settledHere(d.Body); err != nil {
			wrong = append(wrong, &huma.ErrorDetail{Message: err.Error(), Location: d.Place(), Value: d.Identity()})
		}
	}
	var warnings []string
	s.Engine.Directory(func(d *directory.Directory) {
		reasons, after := d.Rehearse(bodies)
		for i, reason := range reasons {
			if reason != nil {
				wrong = append(wrong, &huma.ErrorDetail{Message: reason.Error(), Location: all[i].Place(), Value: all[i].Identity()})
			}
		}
		warnings = doubtful(all, d, after, s.Now())
	})
	if len(wrong) > 0 {
		return nil, huma.Error422UnprocessableEntity("nothing was declared: "+numberOf(len(wrong), "declaration")+" cannot take effect now", wrong...)
	}
	done, err := s.declare(ctx, bodies)
	if err == nil {
		done.Body.Warnings = warnings
	}
	return done, err
}

func numberOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// doubtful lists declarations that are valid but may be a mistake: a card in a
// currency that no quote policy converts, and a card that starts in the past of
// a book that has been in use.
func doubtful(all []apply.Declaration, before, after *directory.Directory, now time.Time) []string {
	var list []string
	for _, d := range all {
		card, ok := d.Body.(events.CardDeclared)
		if !ok || before.Same(card) {
			continue
		}
		book, ok := after.Book(card.Book)
		if !ok {
			continue
		}
		pair := quotes.PairOf(book.Asset, card.Currency)
		if _, ok := after.QuotePolicy(pair); !ok && card.Currency != book.Asset {
			list = append(list, fmt.Sprintf("%s: %s prices in %s, and book %q charges in %s: without a quote policy for %s its usage waits for a price",
				d.Place(), d.Identity(), card.Currency, card.Book, book.Asset, pair))
		}
		if _, used := before.Book(card.Book); used && card.Effective.Before(now) {
			list = append(list, fmt.Sprintf("%s: %s is effective from %s, in the past: usage that is already settled keeps its price",
				d.Place(), d.Identity(), card.Effective.UTC().Format(time.RFC3339Nano)))
		}
	}
	return list
}

// mistakes lists what is wrong with a file, each mistake with its place.
func mistakes(err error) []error {
	var all document.Problems
	if !errors.As(err, &all) {
		return []error{err}
	}
	out := make([]error, len(all))
	for i, p := range all {
		out[i] = &huma.ErrorDetail{Message: p.Detail, Location: strings.TrimSpace(fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Field))}
	}
	return out
}

// undeclared removes the bodies whose names the directory has already, whatever
// their attributes are.
func (s *Server) undeclared(bodies []events.Body) []events.Body {
	var out []events.Body
	s.Engine.Directory(func(d *directory.Directory) {
		for _, b := range bodies {
			if !d.Declared(b) {
				out = append(out, b)
			}
		}
	})
	return out
}
