package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"

	"github.com/swaggest/swgui/v5emb"
)

const docsPath = "/docs"

// docs serves the description of the API as pages. They load everything from
// this server, and their content security policy allows no other source: the
// viewer's only inline scripts are allowed by their hashes.
func docs() http.Handler {
	viewer := v5emb.New("aliquot", "/openapi.json", docsPath)
	rendered := httptest.NewRecorder()
	viewer.ServeHTTP(rendered, httptest.NewRequest(http.MethodGet, docsPath, nil))
	page := rendered.Body.Bytes()
	policy := "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; script-src 'self'"
	for _, hash := range inlineScripts(page) {
		policy += " 'sha256-" + hash + "'"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.URL.Path != docsPath && r.URL.Path != docsPath+"/" {
			viewer.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // a write fails only if the reader has gone
	})
}

// inlineScripts returns the SHA-256 of each inline script of a page, in base64,
// as Content Security Policy level 3, section 2.3.1, names them.
func inlineScripts(page []byte) []string {
	var hashes []string
	for rest := page; ; {
		at := bytes.Index(rest, []byte("<script>"))
		if at < 0 {
			return hashes
		}
		rest = rest[at+len("<script>"):]
		end := bytes.Index(rest, []byte("</script>"))
		if end < 0 {
			return hashes
		}
		sum := sha256.Sum256(rest[:end])
		hashes = append(hashes, base64.StdEncoding.EncodeToString(sum[:]))
		rest = rest[end:]
	}
}
