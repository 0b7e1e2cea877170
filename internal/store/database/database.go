// Package database opens the database of an installation's ledger: the file in
// its folder, or the database that a URL names.
package database

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
	"github.com/aliquot-engine/aliquot/internal/store/sqlite"
)

// File is the name of the ledger's file in a folder.
const File = "ledger.db"

// Open opens the PostgreSQL or CockroachDB database of a URL or, if url is
// empty, the file in the folder, which it creates if it is missing. The logger
// receives that a loop has to wait for the database; nil means slog.Default.
func Open(ctx context.Context, dir, url string, logger *slog.Logger) (*store.DB, error) {
	if url != "" {
		return cockroach.Open(ctx, url, logger)
	}
	return sqlite.Open(filepath.Join(dir, File))
}

// Integrity reads the whole file of the ledger in a folder and reports damage.
// It finds contradictions in the structure of the file, but not changed
// figures.
func Integrity(dir string) error { return sqlite.Integrity(filepath.Join(dir, File)) }
