package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

// actor is who asks.
type actor struct {
	name     events.Actor
	scope    string
	provider events.Provider
}

func actorOf(ctx context.Context) actor {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a
}

// AsHeader lets the bearer of the folder's own operator token say which person
// is deciding. Named keys have no use for it and it is ignored with them.
const AsHeader = "Aliquot-As"

// authenticate admits operators to everything, auditors to reads, and
// providers to their own statement.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	if strings.HasSuffix(ctx.Operation().Path, "z") { // /livez, /readyz
		next(ctx)
		return
	}
	who, ok := s.identify(ctx.Header("Authorization"), ctx.Header(AsHeader))
	if !ok {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
		_ = huma.WriteErr(s.api, ctx, http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer <token>")
		return
	}
	allowed := who.scope == scopeOperator ||
		who.scope == scopeAuditor && (ctx.Method() == http.MethodGet || ctx.Operation().OperationID == "replay" || ctx.Operation().OperationID == "shadow") ||
		who.scope == scopeProvider && ctx.Operation().OperationID == "provider-statement" && ctx.Param("id") == string(who.provider)
	if !allowed {
		_ = huma.WriteErr(s.api, ctx, http.StatusForbidden, "the key's scope, "+who.scope+", does not reach here")
		return
	}
	next(huma.WithValue(ctx, actorKey{}, who))
}

// identify finds the bearer of a token.
func (s *Server) identify(authorization, as string) (actor, bool) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return actor{}, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], s.OperatorSHA256[:]) == 1 {
		name := "local"
		if as != "" && events.CheckName(as) == nil {
			name = as
		}
		return actor{name: events.Actor("operator:" + name), scope: scopeOperator}, true
	}
	var found actor
	var ok bool
	s.Engine.Directory(func(d *directory.Directory) {
		key, known := d.Key(hex.EncodeToString(sum[:]))
		if !known {
			return
		}
		ok = true
		found = actor{name: events.Actor(key.Scope + ":" + key.Key), scope: key.Scope, provider: key.Provider}
	})
	return found, ok
}
