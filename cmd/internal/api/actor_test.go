package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// known is an engine that knows keys and nothing else.
type known struct {
	Engine
	directory *directory.Directory
}

func (k known) Directory(f func(*directory.Directory)) { f(k.directory) }

func (k known) Status(context.Context) (Status, error) { return Status{}, nil }

func withKeys(t *testing.T) *Server {
	t.Helper()
	d := directory.New()
	for i, scope := range []string{"operator", "auditor"} {
		sum := sha256.Sum256([]byte(scope))
		body := events.KeyIssued{Key: "key-" + scope, SHA256: hex.EncodeToString(sum[:]), Scope: scope}
		if err := d.Apply(uint64(i+1), events.Decision{ID: scope, Actor: "operator:test", At: time.Unix(0, 0), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	return New(Config{Engine: known{directory: d}, OperatorSHA256: sha256.Sum256([]byte("own"))})
}

// Fails when the header is ignored with a named key, when HEAD is treated as a
// write, and when an answer may be cached or its type guessed.
func TestWhoAsksAndWhatTheyMay(t *testing.T) {
	s := withKeys(t)
	tests := []struct {
		name, method, path, token, as string
		status                        int
		want                          string
	}{
		{"the folder's own token names a person", "GET", "/v1/status", "own", "alice", 200, ""},
		{"an invalid name of a person is refused", "GET", "/v1/status", "own", "alice\u202e", 400, "Aliquot-As: name has"},
		{"a name of two words is refused", "POST", "/v1/deposits", "own", "alice smith", 400, "Aliquot-As: name has"},
		{"a named key names itself", "GET", "/v1/status", "operator", "", 200, ""},
		{"a named key for another person is refused", "GET", "/v1/status", "operator", "alice", 400, "recorded under its own name"},
		{"a decision for another person is refused too", "POST", "/v1/deposits", "operator", "alice", 400, "key-operator"},
		{"an auditor's key for another person is refused", "GET", "/v1/status", "auditor", "alice", 400, "key-auditor"},
		{"an auditor reads", "GET", "/v1/status", "auditor", "", 200, ""},
		{"HEAD is a read", "HEAD", "/v1/status", "auditor", "", 200, ""},
		{"an auditor decides nothing", "POST", "/v1/deposits", "auditor", "", 403, "does not allow this request"},
		{"an unknown token is refused", "GET", "/v1/status", "x", "alice", 401, "a bearer token is needed"},
		{"anybody may ask whether it lives", "HEAD", "/livez", "", "", 200, ""},
		{"a missing page is not cached either", "GET", "/v1/nothing", "", "", 404, ""},
		{"the description", "GET", "/openapi.yaml", "", "", 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest(test.method, test.path, strings.NewReader(`{}`))
			request.Header.Set("Authorization", "Bearer "+test.token)
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set(AsHeader, test.as)
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, request)
			if text := answer.Body.String(); answer.Code != test.status || !strings.Contains(text, test.want) {
				t.Errorf("want %d %q, got %d %s", test.status, test.want, answer.Code, text)
			}
			if h := answer.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// An nkey is only for publishing usage, so only a provider may have one.
func TestAnNKeyThatCannotBeUsedIsRefused(t *testing.T) {
	s := withKeys(t)
	const nkey = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	tests := []struct{ name, body, want string }{
		{"an operator's", `{"key":"k","scope":"operator","nkey":"` + nkey + `"}`, "its scope is provider"},
		{"an auditor's", `{"key":"k","scope":"auditor","nkey":"` + nkey + `"}`, "its scope is provider"},
		{"a wrong letter", `{"key":"k","scope":"provider","provider":"p","nkey":"` + strings.Replace(nkey, "XORD", "XORE", 1) + `"}`, "one of its letters may be wrong"},
		{"a seed", `{"key":"k","scope":"provider","provider":"p","nkey":"SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"}`, "it is a seed, which is secret"},
		{"in small letters", `{"key":"k","scope":"provider","provider":"p","nkey":"` + strings.ToLower(nkey) + `"}`, "not the public nkey of a user"},
	}
	for _, test := range tests {
		request := httptest.NewRequest(http.MethodPost, "/v1/keys", strings.NewReader(test.body))
		request.Header.Set("Authorization", "Bearer own")
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, request)
		if text := answer.Body.String(); answer.Code != 422 || !strings.Contains(text, test.want) {
			t.Errorf("%s: want %q, got %d %s", test.name, test.want, answer.Code, text)
		}
	}
}
