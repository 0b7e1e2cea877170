package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// screenOf is a terminal that records what was written to it.
type screenOf struct {
	mu   sync.Mutex
	text strings.Builder
	wait string        // text; once it was written, seen is closed
	seen chan struct{} // at most once
}

func (s *screenOf) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if s.wait != "" && strings.Contains(s.text.String(), s.wait) {
		s.wait = ""
		close(s.seen)
	}
	return len(p), nil
}

func TestALongRequestIsToldAndItsLineCleared(t *testing.T) {
	screen := &screenOf{wait: "2 KiB sent", seen: make(chan struct{})}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select { // Wait until the user has seen a report.
		case <-screen.seen:
		case <-time.After(time.Minute):
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer api.Close()
	s := &server{url: api.URL, watch: waiting{w: screen, after: time.Millisecond, every: time.Millisecond}}
	if err := s.send(context.Background(), http.MethodPost, "/v1/replay?x=1", "text/csv", bytes.NewReader(make([]byte, 2048)), &struct{}{}); err != nil {
		t.Fatal(err)
	}
	said := screen.text.String()
	if !strings.Contains(said, "replay: 0 s, 2 KiB sent") || !strings.HasSuffix(said, "\r\x1b[K") || strings.Contains(said, "\n") {
		t.Errorf("%.200q", said)
	}
}

func TestAQuickRequestIsNotTold(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }))
	defer api.Close()
	screen := &screenOf{}
	s := &server{url: api.URL, watch: waiting{w: screen, after: time.Hour, every: time.Hour}}
	if err := s.send(context.Background(), http.MethodGet, "/v1/check", "", nil, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if said := screen.text.String(); said != "" {
		t.Errorf("%.200q", said)
	}
	if w := newWaiting(&root{}); w.w != nil {
		t.Error("a report was written to something that is not a terminal")
	}
}
