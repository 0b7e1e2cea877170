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

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/internal/apply"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Applied is what became of a set of declarations.
type Applied struct {
	Applied   int       `json:"applied"`
	Unchanged int       `json:"unchanged"`
	Void      []Decided `json:"void" doc:"Declarations without effect, with the reason."`
}

// Key is a secret, shown once.
type Key struct {
	Key    string `json:"key"`
	Secret string `json:"secret" doc:"The bearer token. It is recorded nowhere: keep it."`
}

func (s *Server) declarations() {
	register(s, http.MethodPost, "/v1/apply", "apply", "Declare providers, books, nodes, customers, meters, cards, tokens and waterfalls from YAML",
		func(ctx context.Context, in *struct {
			File    string `query:"file" doc:"Name of the file, for messages."`
			RawBody []byte `contentType:"application/yaml"`
		}) (*answer[Applied], error) {
			bodies, err := apply.Parse(in.File, in.RawBody)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("the declarations have mistakes", mistakes(err)...)
			}
			return s.declare(ctx, bodies)
		})
	register(s, http.MethodPost, "/v1/names", "declare-names", "Declare nodes and customers of a book by name alone",
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
			}
		}) (*answer[Key], error) {
			if _, revoked, taken := s.issued(in.Body.Key); taken {
				// Nothing is recorded: its secret was shown once, and nobody else knows it.
				advice := "if its secret was not read, revoke it and issue one under another name"
				if revoked {
					advice = "it is revoked, and its name is not used again"
				}
				return nil, huma.Error409Conflict(fmt.Sprintf("key %q was issued before: %s", in.Body.Key, advice))
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

// issued returns a key that was issued under a name.
func (s *Server) issued(name string) (key events.KeyIssued, revoked, ok bool) {
	s.Engine.Directory(func(d *directory.Directory) { key, revoked, ok = d.Issued(name) })
	return key, revoked, ok
}

// settles reports whether a partition is one of those that there are.
func (s *Server) settles(partition int) bool {
	return eventlog.OfPartition(partition, append([]*eventlog.Stream{s.Usage}, s.More...)...) != nil
}

// declare records declarations and counts what became of them.
func (s *Server) declare(ctx context.Context, bodies []events.Body) (*answer[Applied], error) {
	proposals := make([]proposal, len(bodies))
	for i, b := range bodies {
		if book, ok := b.(events.BookDeclared); ok && !s.settles(book.Partition) {
			// Declared, it could never be moved: usage for it would be refused for ever.
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("book %s: partition %d is settled nowhere here: start with more partitions first", book.Book, book.Partition))
		}
		proposals[i] = proposal{body: b}
	}
	return s.decided(ctx, proposals)
}

// mistakes spells out what is wrong with a file, each with its place.
func mistakes(err error) []error {
	var all apply.Problems
	if !errors.As(err, &all) {
		return []error{err}
	}
	out := make([]error, len(all))
	for i, p := range all {
		out[i] = &huma.ErrorDetail{Message: p.Detail, Location: strings.TrimSpace(fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Field))}
	}
	return out
}

// undeclared leaves out what the directory has already, whatever its attributes.
func (s *Server) undeclared(bodies []events.Body) []events.Body {
	var out []events.Body
	s.Engine.Directory(func(d *directory.Directory) {
		for _, b := range bodies {
			known := false
			switch b := b.(type) {
			case events.NodeDeclared:
				_, known = d.Node(b.Node)
			case events.CustomerDeclared:
				_, known = d.Customer(b.Customer)
			}
			if !known {
				out = append(out, b)
			}
		}
	})
	return out
}
