package host

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/strict"
)

// Names of files in the folder.
const (
	tokenFile   = "operator.token" // bearer token of the folder's own operator, mode 0600
	addressFile = "running.json"   // address of the process that holds the folder, mode 0600
)

type address struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
	// Secret proves the identity of the process; each start has a new one.
	Secret string `json:"secret"`
}

// running proves, to those who can read the folder, that a process holds it.
// The file outlives a process that is killed, and another program may then use
// its port. A client must not send the token to that port before it has
// verified the proof.
type running struct{ address }

const challengeBytes = 32

// save writes the address of the process and the secret.
func (r *running) save(dir, url string) error {
	r.address = address{URL: url, PID: os.Getpid(), Secret: challenge()}
	data, err := json.Marshal(r.address)
	if err != nil {
		return err
	}
	// An existing file would keep its permissions.
	name := filepath.Join(dir, addressFile)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

// challenge returns 32 random bytes in hexadecimal.
func challenge() string {
	var b [challengeBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// proof answers a challenge. It covers the address too, so that nobody can
// forward the challenge to a process at another address.
func (a *address) proof(challenge string) string {
	mac := hmac.New(sha256.New, []byte(a.Secret))
	mac.Write([]byte("aliquot running v1\n" + a.URL + "\n" + challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// ServeHTTP implements [http.Handler]: GET /running?challenge=HEX.
func (r *running) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	asked := request.URL.Query().Get("challenge")
	if raw, err := hex.DecodeString(asked); err != nil || len(raw) != challengeBytes {
		http.Error(w, "challenge is not 32 bytes in hexadecimal", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, r.proof(asked)+"\n") // a client that has gone asks again
}

// Running returns the URL and the operator token of the process that holds a
// folder; ok is false if no process answers with a valid proof.
func Running(ctx context.Context, dir string) (url, token string, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return "", "", false
	}
	var a address
	if strict.Decode(data, &a) != nil || a.URL == "" || a.Secret == "" {
		return "", "", false
	}
	if !a.proves(ctx) {
		return "", "", false
	}
	secret, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return "", "", false
	}
	return a.URL, strings.TrimSpace(string(secret)), true
}

// proves asks the process that answers at the address to prove that it has the
// secret.
func (a *address) proves(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	asked := challenge()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/running?challenge="+asked, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return err == nil && response.StatusCode == http.StatusOK && hmac.Equal([]byte(strings.TrimSpace(string(answer))), []byte(a.proof(asked)))
}
