package host

import (
	"context"
	"log/slog"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
)

const (
	kindSQLite   = "sqlite"
	kindPostgres = "postgres"
)

// kindOf returns the kind of a database URL; rest is the part that the engine
// takes.
func kindOf(url string) (kind, rest string, ok bool) {
	if path, found := strings.CutPrefix(url, "sqlite:"); found && path != "" {
		return kindSQLite, path, true
	}
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return kindPostgres, url, true
	}
	return "", "", false
}

func openDatabase(ctx context.Context, url string, logger *slog.Logger) (*store.DB, error) {
	kind, rest, _ := kindOf(url)
	if kind == kindSQLite {
		return sqlite.Open(rest)
	}
	return cockroach.Open(ctx, rest, logger)
}
