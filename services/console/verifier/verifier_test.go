package verifier_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aliquot-engine/aliquot/services/console/verifier"
)

var parts = fstest.MapFS{
	verifier.ProgramFile: {Data: []byte("program")},
	verifier.RuntimeFile: {Data: []byte("run();")},
	verifier.VersionFile: {Data: []byte("go1 <X:experiment>\n")},
}

func TestABinaryWithoutThePageSaysHowToGetIt(t *testing.T) {
	for missing := range parts {
		folder := fstest.MapFS{}
		for name, file := range parts {
			if name != missing {
				folder[name] = file
			}
		}
		if _, err := verifier.ReadProgram(folder); !errors.Is(err, verifier.ErrNotBuilt) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	// This test's own binary may have a page or not.
	page, err := verifier.Built()
	answer := httptest.NewRecorder()
	verifier.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/verify", nil))
	switch body := answer.Body.String(); {
	case err == nil && (answer.Code != http.StatusOK || body != string(page.HTML)):
		t.Errorf("the page is there, and not served: %d", answer.Code)
	case err != nil && (!errors.Is(err, verifier.ErrNotBuilt) || answer.Code != http.StatusNotImplemented || !strings.Contains(body, "go -C internal/tools/task tool task build")):
		t.Errorf("%v: %d %s", err, answer.Code, body)
	}
}

func TestThePageIsServedAndWrittenAsItIs(t *testing.T) {
	program, err := verifier.ReadProgram(parts)
	if err != nil {
		t.Fatal(err)
	}
	page, err := program.Page()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page.HTML), "{{") || !strings.Contains(string(page.HTML), "go1 &lt;X:experiment&gt;") {
		t.Error("not everything stands where it belongs")
	}
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/verify", nil))
	header := answer.Result().Header
	for name, want := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Security-Policy": "default-src 'none'; script-src 'wasm-unsafe-eval' 'sha256-",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "no-referrer",
		"ETag":                    page.SHA256,
	} {
		if got := header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe-inline") {
		t.Error(policy)
	}
	folder := filepath.Join(t.TempDir(), "a", "b")
	name, err := page.Write(folder)
	if err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(name); err != nil || string(written) != string(page.HTML) || answer.Body.String() != string(written) {
		t.Errorf("another page was written or served: %v", err)
	}
	again := httptest.NewRequest(http.MethodGet, "/verify", nil)
	again.Header.Set("If-None-Match", header.Get("ETag"))
	answer = httptest.NewRecorder()
	if page.ServeHTTP(answer, again); answer.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", answer.Code)
	}
}

func TestAScriptThatEndsItsElementIsRefused(t *testing.T) {
	for _, runtime := range []string{"x = '</script>'", "x = '</SCRIPT'", "// <!-- <script>"} {
		if _, err := (verifier.Program{Runtime: []byte(runtime)}).Page(); err == nil {
			t.Errorf("%s: a page was made", runtime)
		}
	}
}
