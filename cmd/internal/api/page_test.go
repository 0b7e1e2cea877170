package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Everybody who has a receipt may verify it, so the page needs no token. How
// the binary was built decides whether it has the page.
func TestThePageThatVerifiesIsPublic(t *testing.T) {
	server := New(Config{})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(method, "/verify", nil))
		if answer.Code != http.StatusOK && answer.Code != http.StatusNotImplemented {
			t.Errorf("%s: %d", method, answer.Code)
		}
		if method == http.MethodGet && !strings.Contains(answer.Body.String(), "verif") {
			t.Errorf("%d: %.200s", answer.Code, answer.Body.String())
		}
	}
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/verify", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", answer.Code)
	}
}
