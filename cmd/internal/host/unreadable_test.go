package host

import (
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// TestAnUnreadableDecisionIsVoidEverywhere fails when a service stops at a
// decision that the others skip.
func TestAnUnreadableDecisionIsVoidEverywhere(t *testing.T) {
	t.Parallel()
	d, err := Open(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if _, err := d.streams.control.Publish(t.Context(), eventlog.ControlSubject("period_closed"), []byte(`{"v":9}`), eventlog.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	p := person{t: t, d: d}
	if got := p.ask("POST", "/v1/apply?file=book.yaml", "application/yaml", bookYAML, 200); got["applied"].(float64) != 9 {
		t.Fatalf("applied %v", got)
	}
	p.ask("POST", "/v1/events?wait=10", "application/cloudevents-batch+json", "["+event(1)+"]", 200)
	if got := p.ask("GET", "/v1/check?deep=true", "", "", 200); got["ok"] != true {
		t.Fatalf("check: %v", got)
	}
	if got := p.ask("POST", "/v1/replay", "", "", 200); got["identical"] != true {
		t.Fatalf("replay: %v", got)
	}
}
