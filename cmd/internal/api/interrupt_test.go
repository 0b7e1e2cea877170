package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// gone is a store whose database never answers.
type gone struct {
	store.Engine
	err error
}

func (g gone) Read(context.Context, func(store.Conn) error) error { return g.err }

// idle is an engine without partitions, so that a read waits for nothing.
type idle struct{ Engine }

func (idle) Status(context.Context) (Status, error) { return Status{}, nil }

func (idle) Directory(read func(*directory.Directory)) { read(directory.New()) }

// Fails when a route answers 500, shows the database's words, or omits
// Retry-After.
func TestADatabaseThatCannotAnswerNowIs503(t *testing.T) {
	words := errors.New("ERROR: restart transaction: db-7.internal (SQLSTATE 40001)")
	ask := func(t *testing.T, err error, method, path string) *httptest.ResponseRecorder {
		t.Helper()
		s := New(Config{Engine: idle{}, Store: store.New(gone{err: err}, nil), OperatorSHA256: sha256.Sum256([]byte("token"))})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, method, path, nil)
		r.Header.Set("Authorization", "Bearer token")
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/balances"}, {"GET", "/v1/suspense"}, {"GET", "/v1/tallies"}, {"GET", "/v1/distributions"},
		{"GET", "/v1/payouts/batches"}, {"GET", "/v1/check"}, {"GET", "/v1/summary"}, {"GET", "/v1/state"},
		{"GET", "/v1/explain?id=settle-0-1"},
	} {
		t.Run(c.path, func(t *testing.T) {
			w := ask(t, fmt.Errorf("%w: %w", settlement.ErrInterrupted, words), c.method, c.path)
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("%d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
			if body := w.Body.String(); strings.Contains(body, "SQLSTATE") || strings.Contains(body, "db-7") || !strings.Contains(body, busy) {
				t.Errorf("it says %s", body)
			}
		})
	}
	if w := ask(t, errors.New("a table is broken"), "GET", "/v1/balances"); w.Code != http.StatusInternalServerError {
		t.Errorf("an error that stays is answered %d", w.Code)
	}
}
