package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
)

func TestKeysAreListedWithoutTheirSecrets(t *testing.T) {
	r, _ := room(t, 1)
	ask := func(line ...string) ran {
		t.Helper()
		got := capture(t, append(line, "--data", r.Data)...)
		if got.code != exitDone {
			t.Fatalf("%v: exit %d\n%s", line, got.code, got.err)
		}
		return got
	}
	var secrets []string
	for _, line := range []string{"key create zoe --scope operator", "key create meter-1 --scope provider --provider acme", "key create eve --scope auditor"} {
		secret := strings.TrimSpace(ask(strings.Fields(line)...).out)
		sum := sha256.Sum256([]byte(secret))
		secrets = append(secrets, secret, strings.TrimPrefix(secret, "alq_"), hex.EncodeToString(sum[:]))
	}
	ask("key", "revoke", "eve")
	listed := ask("key", "list", "--json").out
	var all []api.ListedKey
	if err := json.Unmarshal([]byte(listed), &all); err != nil {
		t.Fatal(err)
	}
	want := []api.ListedKey{
		{Key: "eve", Scope: "auditor", Revoked: true},
		{Key: "meter-1", Scope: "provider", Provider: "acme"},
		{Key: "zoe", Scope: "operator"},
	}
	if !slices.Equal(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	text := ask("key", "list").out
	if !strings.Contains(text, "revoked") || !strings.Contains(text, "meter-1") {
		t.Errorf("as text:\n%s", text)
	}
	for _, secret := range secrets {
		if strings.Contains(listed+text, secret) {
			t.Error("a secret, or its hash, is listed")
		}
	}
}
