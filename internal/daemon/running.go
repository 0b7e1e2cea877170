package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of files in the folder.
const (
	tokenFile   = "operator.token" // bearer token of the folder's own operator, mode 0600
	addressFile = "running.json"   // where the process that holds the folder answers
)

type address struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
}

// Running returns the URL and the operator token of the process that holds a
// folder; ok is false when none answers.
func Running(ctx context.Context, dir string) (url, token string, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return "", "", false
	}
	var a address
	if json.Unmarshal(data, &a) != nil || a.URL == "" {
		return "", "", false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/livez", nil)
	if err != nil {
		return "", "", false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", "", false
	}
	_ = response.Body.Close()
	secret, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil || response.StatusCode != http.StatusOK {
		return "", "", false
	}
	return a.URL, strings.TrimSpace(string(secret)), true
}
