package api

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var (
	loaded    = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	elsewhere = regexp.MustCompile(`^(?:https?:)?//`)
)

// The pages that describe the API work on a machine without a network: this
// server has everything that they load, and their policy allows no other
// source.
func TestTheDocsLoadNothingFromElsewhere(t *testing.T) {
	s := New(Config{})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	page := get("/docs")
	if page.Code != http.StatusOK {
		t.Fatalf("/docs answers %d", page.Code)
	}
	policy := page.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "script-src 'self' 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy is %q, without %q", policy, want)
		}
	}
	if strings.Contains(policy, "http") || strings.Contains(policy, "script-src 'self' 'unsafe") {
		t.Errorf("the policy allows other sources: %q", policy)
	}
	if inline, hashes := strings.Count(page.Body.String(), "<script>"), strings.Count(policy, "'sha256-"); inline == 0 || inline != hashes {
		t.Errorf("%d inline scripts and %d hashes in the policy", inline, hashes)
	}
	files := loaded.FindAllStringSubmatch(page.Body.String(), -1)
	if len(files) < 3 {
		t.Fatalf("the page loads %d files, too few for a viewer", len(files))
	}
	for _, file := range files {
		if elsewhere.MatchString(file[1]) {
			t.Errorf("the page loads %s from elsewhere", file[1])
			continue
		}
		if got := get(file[1]); got.Code != http.StatusOK || got.Body.Len() == 0 {
			t.Errorf("%s answers %d with %d bytes", file[1], got.Code, got.Body.Len())
		}
	}
	if got := get("/openapi.json"); got.Code != http.StatusOK || !strings.Contains(page.Body.String(), `"/openapi.json"`) {
		t.Errorf("/openapi.json answers %d; the page must read it", got.Code)
	}
}
