package api

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write docs/api/openapi.yaml anew")

// TestTheDescriptionIsCurrent compares docs/api/openapi.yaml with what the code
// says. Run it with -update after a change of the API, and read the difference.
func TestTheDescriptionIsCurrent(t *testing.T) {
	got, err := New(Config{}).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "api", "openapi.yaml")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/api/openapi.yaml is not what the code says: go test ./internal/api -update")
	}
}
