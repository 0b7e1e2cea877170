package verifier

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Handler serves the embedded page to anybody, for GET and HEAD. If the binary
// has no page it answers 501 and says how to get one.
func Handler() http.Handler { return handler{sync.OnceValues(Built)} }

// handler assembles the page at the first request, because most processes never
// get one.
type handler struct {
	page func() (Page, error)
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, err := h.page()
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		return
	}
	page.ServeHTTP(w, r)
}

// ServeHTTP implements [http.Handler].
func (p Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	// A page in a frame could be covered with another verdict. Only a header can
	// forbid frames.
	header.Set("Content-Security-Policy", p.Policy+"; frame-ancestors 'none'")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+p.SHA256+`"`)
	http.ServeContent(w, r, FileName, time.Time{}, bytes.NewReader(p.HTML))
}

// Write writes the page to a folder, which it creates, and returns the name of
// the file.
func (p Page) Write(folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(folder, FileName)
	return name, os.WriteFile(name, p.HTML, 0o644)
}
