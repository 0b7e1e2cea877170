package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// Scopes of keys.
const (
	scopeOperator = "operator" // everything
	scopeAuditor  = "auditor"  // reads everything, writes nothing
	scopeProvider = "provider" // its own usage and its own statement
)

type actorKey struct{}

// actor is the caller of a request, as its bearer token identifies it.
type actor struct {
	name     events.Actor
	key      string // its public name; empty with the folder's own token
	scope    string
	provider events.Provider
}

func actorOf(ctx context.Context) actor {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a
}

// AsHeader names the person who decides, in a request with the folder's own
// operator token. A named key identifies its owner already: a request that has
// both is refused.
const AsHeader = "Aliquot-As"

// authenticate admits operators to every operation, auditors to those that only
// read, and providers to their own statement.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	if strings.HasSuffix(ctx.Operation().Path, "z") { // /livez, /readyz
		next(ctx)
		return
	}
	who, ok := s.identify(ctx.Header("Authorization"))
	if as := ctx.Header(AsHeader); ok && as != "" {
		if who.key != "" {
			_ = huma.WriteErr(s.api, ctx, http.StatusBadRequest, fmt.Sprintf("%s is refused: decisions of the key %s are recorded under its own name; omit --as (ALIQUOT_AS)", AsHeader, who.key))
			return
		}
		if err := events.CheckName(as); err != nil {
			_ = huma.WriteErr(s.api, ctx, http.StatusBadRequest, fmt.Sprintf("%s: %v", AsHeader, err))
			return
		}
		who.name = events.Actor("operator:" + as)
	}
	if !ok {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
		_ = huma.WriteErr(s.api, ctx, http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer <token>")
		return
	}
	allowed := who.scope == scopeOperator ||
		who.scope == scopeAuditor && (ctx.Method() == http.MethodGet || ctx.Method() == http.MethodHead || ctx.Operation().OperationID == "replay" || ctx.Operation().OperationID == "shadow") ||
		who.scope == scopeProvider && ctx.Operation().OperationID == "provider-statement" && ctx.Param("id") == string(who.provider)
	if !allowed {
		_ = huma.WriteErr(s.api, ctx, http.StatusForbidden, "the key's scope, "+who.scope+", does not allow this request")
		return
	}
	next(huma.WithValue(ctx, actorKey{}, who))
}

// identify returns the actor to whom a token belongs.
func (s *Server) identify(authorization string) (actor, bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return actor{}, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], s.OperatorSHA256[:]) == 1 {
		return actor{name: "operator:local", scope: scopeOperator}, true
	}
	var found actor
	var ok bool
	s.Engine.Directory(func(d *directory.Directory) {
		key, known := d.Key(hex.EncodeToString(sum[:]))
		if !known {
			return
		}
		ok = true
		found = actor{name: events.Actor(key.Scope + ":" + key.Key), key: key.Key, scope: key.Scope, provider: key.Provider}
	})
	return found, ok
}
