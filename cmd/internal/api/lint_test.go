package api

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// The description passes the linter that its readers use, with the rule set
// recommended. /livez and /readyz take no input and need no key, so they have
// no status from 400 to 499.
func TestTheDescriptionPassesItsLinter(t *testing.T) {
	linter, err := filepath.Abs(filepath.Join("testdata", "lint", "node_modules", ".bin", "redocly"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(linter); err != nil {
		t.Skip("@redocly/cli is absent: the task setup installs it if npm is there")
	}
	out, err := exec.Command(linter, "lint", filepath.Join("..", "..", "..", "docs", "api", "openapi.yaml"), "--extends=recommended", "--format=json").Output()
	var found struct {
		Totals   struct{ Errors, Warnings, Ignored int }
		Problems []struct {
			RuleID   string
			Message  string
			Location []struct{ Pointer string }
		}
	}
	if decoding := json.Unmarshal(out, &found); decoding != nil {
		t.Fatalf("the linter: %v; its answer: %v", err, decoding)
	}
	healthOnly := 0
	for _, p := range found.Problems {
		at := ""
		if len(p.Location) > 0 {
			at = p.Location[0].Pointer
		}
		if p.RuleID == "operation-4xx-response" && (at == "#/paths/~1livez/get/responses" || at == "#/paths/~1readyz/get/responses") {
			healthOnly++
			continue
		}
		t.Errorf("%s at %s: %s", p.RuleID, at, p.Message)
	}
	if healthOnly != 2 {
		t.Errorf("the linter reports %d of the two paths without a key: did it read the description?", healthOnly)
	}
}
