package acceptance

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
)

// messages reads a stream of a folder that nobody holds.
func messages(t *testing.T, dir string, of func(*eventlog.Log, context.Context) (*eventlog.Stream, error)) (list []eventlog.Message) {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: filepath.Join(dir, "streams"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	stream, err := of(log, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		return nil
	}
	reader, err := stream.Read(t.Context(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Stop()
	for {
		m, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
		if m.Seq >= last {
			return list
		}
	}
}
