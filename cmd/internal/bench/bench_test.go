package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// A run verifies itself: everything was accepted, settled once, and charged
// exactly. Fails when bodies repeat a sequence, or when a patch is written to
// the wrong place.
func TestEveryVariantComesOutRight(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the engine for each variant")
	}
	for partitions, name := range []string{"json", "packed", "json-ids", "packed-ids"} {
		t.Run(name, func(t *testing.T) {
			report, err := Run(t.Context(), Config{Events: 80_000, Variants: []string{name}, Senders: 4, Partitions: partitions + 1, Throughput: true, Folder: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			f := report.Variants[0]
			if f.PerSecond == 0 || f.CPU == 0 || f.Bytes.Usage == 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A patched body is equal to one that is encoded again.
func TestPatchesLandInTheirPlaces(t *testing.T) {
	day := time.Date(2026, 7, 14, 0, 0, 0, 0, time.UTC)
	for _, v := range Variants() {
		if v.packed || v.lazy || v.unkept {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			list, err := newShapes(v, 1, day)
			if err != nil {
				t.Fatal(err)
			}
			body := string(list[1].fill(nil, 7, 3000, 64))
			for _, want := range []string{`//bench.example/meter/007`, `"time":"2026-07-14T02:00:01`, `"start":"2026-07-14T01:59:01`} {
				if strings.Count(body, want) == 0 {
					t.Errorf("no %s in %.400s", want, body)
				}
			}
			if !v.ids && !strings.Contains(body, `"sequence":"50000003999"`) {
				t.Errorf("the last sequence is not 50000003999")
			}
		})
	}
}

func TestPackedPatchesLandInTheirPlaces(t *testing.T) {
	day := time.Date(2026, 7, 14, 0, 0, 0, 0, time.UTC)
	for _, v := range Variants() {
		if !v.packed || v.lazy || v.unkept {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			list, err := newShapes(v, 1, day)
			if err != nil {
				t.Fatal(err)
			}
			body := list[1].fill(nil, 7, 30_000, 64)
			var c packed.Columns
			if err := c.Decode(body[3:]); err != nil {
				t.Fatal(err)
			}
			if got := string(c.Strings[c.Sources[c.Source[0]].Name]); got != source(7) {
				t.Errorf("source %s", got)
			}
			if end := time.Unix(0, c.End[1]).UTC(); !end.Equal(day.Add(firstSecond + time.Second + time.Millisecond)) {
				t.Errorf("event 1 ends at %v", end)
			}
			if !v.ids && c.Sequence[c.N-1] != firstSequence+39_999 {
				t.Errorf("the last sequence is %d", c.Sequence[c.N-1])
			}
			if v.single && string(c.Strings[c.Node[5]]) != "node-100005" {
				t.Errorf("node of event 5: %s", c.Strings[c.Node[5]])
			}
		})
	}
}

func TestConfigurationIsRefusedWithEveryProblem(t *testing.T) {
	_, err := Run(t.Context(), Config{Events: 1, Senders: 1000, Partitions: 9, Rounds: -1, Variants: []string{"xml"}})
	for _, want := range []string{"events:", "senders:", "partitions:", "rounds:", "variant:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
