package main

import (
	"context"
	"io"

	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
	"github.com/aliquot-engine/aliquot/pkg/plain"
)

type migrateCommand struct{}

// Run upgrades the schema of the database. It may be repeated.
func (migrateCommand) Run(ctx context.Context, r *root) error {
	if r.DatabaseURL == "" {
		return misused("name the database with --database-url or DATABASE_URL; the ledger.db of a folder is upgraded automatically")
	}
	done, err := cockroach.Migrate(ctx, r.DatabaseURL)
	if err != nil {
		return err
	}
	return r.print(done, func(w io.Writer) {
		if done.From == done.To {
			plain.Fprintf(w, "%s is up to date: its schema is version %d\n", done.Database, done.To)
			return
		}
		plain.Fprintf(w, "%s: schema from version %d to %d\n", done.Database, done.From, done.To)
	})
}
