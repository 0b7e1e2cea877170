package api

import (
	"net/http"
)

// metrics serves the Prometheus page. Its figures show how much usage there is
// and how much money waits. Providers reach this address, so the page is for
// operators and auditors only: Prometheus sends a bearer token if its
// configuration has `authorization: {credentials_file: …}`.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	who, ok := s.identify(r.Header.Get("Authorization"))
	switch {
	case !ok:
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "a bearer token is needed: Authorization: Bearer <token>", http.StatusUnauthorized)
	case who.scope != scopeOperator && who.scope != scopeAuditor:
		http.Error(w, "the key's scope, "+who.scope+", does not allow this request", http.StatusForbidden)
	default:
		s.Metrics.ServeHTTP(w, r)
	}
}
