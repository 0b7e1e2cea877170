// Package database opens what keeps an installation's ledger: the file of its
// folder, or the database that a URL names.
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

// Open opens the database of a URL, which is PostgreSQL's or CockroachDB's; where
// there is none, the file of the folder, which it creates. The logger is told when
// a loop has to wait for it; nil: slog.Default.
func Open(ctx context.Context, dir, url string, logger *slog.Logger) (*store.DB, error) {
	if url != "" {
		return cockroach.Open(ctx, url, logger)
	}
	return sqlite.Open(filepath.Join(dir, File))
}

// Integrity reads the whole of the ledger's file in a folder, and says what is
// damaged in it. It finds what contradicts the file's own structure, and no figure
// that was changed.
func Integrity(dir string) error { return sqlite.Integrity(filepath.Join(dir, File)) }
