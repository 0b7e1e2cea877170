package host

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		mode os.FileMode // 0: the folder does not exist
		has  string
		want os.FileMode // 0: refused and not changed
	}{
		{"a new one", 0, "", 0o700},
		{"an empty one that everybody reads", 0o755, "", 0o700},
		{"an empty one that the group writes", 0o770, "", 0o700},
		{"one that aliquot made", 0o755, "streams", 0o700},
		{"one whose second copies are left", 0o755, "archive", 0o700},
		{"the root of a new volume", 0o755, "lost+found", 0o700},
		{"one that has its token", 0o711, tokenFile, 0o700},
		{"one with somebody's files", 0o755, "letter.txt", 0},
		{"one with somebody's files that nobody else reads", 0o700, "letter.txt", 0o700},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if test.mode != 0 {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if test.has != "" {
					if err := os.WriteFile(filepath.Join(dir, test.has), nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chmod(dir, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			err := openFolder(dir, slog.New(slog.NewTextHandler(io.Discard, nil)))
			info, failed := os.Stat(dir)
			if failed != nil {
				t.Fatal(failed)
			}
			want := test.want
			if want == 0 {
				want = test.mode
			}
			if (err == nil) != (test.want != 0) || info.Mode().Perm() != want {
				t.Errorf("mode %o, %v", info.Mode().Perm(), err)
			}
		})
	}
}

// A killed process leaves its file, and its port becomes free. Fails when the
// token is sent to a program at that port that does not have the folder's
// secret.
func TestTheTokenIsShownToNobodyWhoCannotReadTheFolder(t *testing.T) {
	t.Parallel()
	const token = "alq_secret"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, tokenFile), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var genuine running
	elsewhere := httptest.NewServer(&genuine)
	defer elsewhere.Close()
	// A file from an earlier version may be readable by everybody.
	if err := os.WriteFile(filepath.Join(dir, addressFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := genuine.save(dir, elsewhere.URL); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, addressFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the secret is in a file of mode %v, %v", info.Mode(), err)
	}
	if url, shown, ok := Running(t.Context(), dir); !ok || url != elsewhere.URL || shown != token {
		t.Fatalf("the process itself: %q %q %t", url, shown, ok)
	}

	earlier := genuine.proof(challenge())
	strangers := map[string]http.HandlerFunc{
		"says that it lives": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
		"says nothing":       func(http.ResponseWriter, *http.Request) {},
		"repeats the challenge": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.Query().Get("challenge"))
		},
		"repeats an earlier proof": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, earlier) },
		"proves by no secret": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, (&address{URL: "http://" + r.Host}).proof(r.URL.Query().Get("challenge")))
		},
		"asks the process that answers elsewhere": func(w http.ResponseWriter, r *http.Request) {
			answer, err := http.Get(elsewhere.URL + r.URL.String())
			if err != nil {
				return
			}
			defer func() { _ = answer.Body.Close() }()
			_, _ = io.Copy(w, answer.Body)
		},
		"answers without a body": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		},
	}
	for name, answer := range strangers {
		t.Run(name, func(t *testing.T) {
			asked := 0
			stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), token) {
					t.Error("was shown the token")
				}
				answer(w, r)
			}))
			defer stranger.Close()
			stale := genuine.address
			stale.URL = stranger.URL
			data, err := json.Marshal(stale)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, addressFile), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, shown, ok := Running(t.Context(), dir); ok || shown != "" || asked == 0 {
				t.Errorf("believed, asked %d times", asked)
			}
		})
	}
}
