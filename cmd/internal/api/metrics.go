package api

import (
	"net/http"
)

// metrics is the Prometheus page. Its figures tell how much usage there is and
// how much money waits, so on this address, which providers reach, it is an
// operator's and an auditor's: Prometheus sends a bearer token where its
// configuration has `authorization: {credentials_file: …}`.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	who, ok := s.identify(r.Header.Get("Authorization"))
	switch {
	case !ok:
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "a bearer token is needed: Authorization: Bearer <token>", http.StatusUnauthorized)
	case who.scope != scopeOperator && who.scope != scopeAuditor:
		http.Error(w, "the key's scope, "+who.scope+", does not reach here", http.StatusForbidden)
	default:
		s.Metrics.ServeHTTP(w, r)
	}
}
