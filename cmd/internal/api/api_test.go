package api

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/aliquot-engine/aliquot/services/ingest"
)

var update = flag.Bool("update", false, "rewrite docs/api/openapi.yaml")

// TestTheDescriptionIsCurrent compares docs/api/openapi.yaml with the
// description that the code generates. After a change of the API run it with
// -update and read the difference.
func TestTheDescriptionIsCurrent(t *testing.T) {
	got, err := New(Config{}).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "..", "docs", "api", "openapi.yaml")
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
		t.Error("docs/api/openapi.yaml differs from the code's description: go test ./cmd/internal/api -update")
	}
}

// The description names everything that a client may send as usage: every media
// type that intake reads, an event with data_base64 in place of data, and both
// statuses of refusal.
func TestTheDescriptionOfUsageIsWhatIntakeReads(t *testing.T) {
	text, err := New(Config{}).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Required   []string
		OneOf      []struct{ Required []string } `yaml:"oneOf"`
		Properties map[string]any
	}
	var description struct {
		Components struct{ Schemas map[string]schema }
		Paths      map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]any
				} `yaml:"requestBody"`
				Responses map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(text, &description); err != nil {
		t.Fatal(err)
	}
	post := description.Paths["/v1/events"].Post
	read := append(ingest.LinesNames(), ingest.SingleMedia, ingest.BatchMedia, ingest.PackedMedia, "application/json")
	if len(read) != len(post.RequestBody.Content) {
		t.Errorf("%d media types are described, %d are read", len(post.RequestBody.Content), len(read))
	}
	for _, media := range read {
		if _, ok := post.RequestBody.Content[media]; !ok {
			t.Errorf("%s is not described", media)
		}
		if _, _, refusal := ingest.FormOf(media, false, []byte("{}")); refusal != nil {
			t.Errorf("%s is described, but cannot be read: %v", media, refusal)
		}
	}
	event := description.Components.Schemas["UsageEvent"]
	var either []string
	for _, one := range event.OneOf {
		either = append(either, one.Required...)
	}
	if !slices.Equal(either, []string{"data", "data_base64"}) || slices.Contains(event.Required, "data") || event.Properties["data_base64"] == nil {
		t.Errorf("an event has one of %v, and needs %v", either, event.Required)
	}
	for _, code := range []string{"200", "202", "400", "401", "403", "408", "413", "415", "422", "503", "507"} {
		if post.Responses[code] == nil {
			t.Errorf("%s is not described", code)
		}
	}
}
