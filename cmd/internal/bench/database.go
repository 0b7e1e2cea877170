package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store/cockroach"
)

// ownDatabase makes an empty database on the server of a URL. It returns the URL
// of the database, and a function that drops it.
func ownDatabase(ctx context.Context, server string) (url string, drop func() error, err error) {
	config, err := pgx.ParseConfig(server)
	if err != nil {
		return "", nil, errors.New("making a database for the measurement: the URL is not of the form postgres://user@host:port/name")
	}
	var unique [4]byte
	_, _ = rand.Read(unique[:]) // never fails
	name := "aliquot_bench_" + hex.EncodeToString(unique[:])
	run := func(ctx context.Context, statement string) (err error) {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		defer func() { err = errors.Join(err, conn.Close(ctx)) }()
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	}
	if err := run(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	drop = func() error { return run(context.WithoutCancel(ctx), "DROP DATABASE "+name) }
	if url, err = cockroach.Named(server, name); err == nil {
		_, err = cockroach.Migrate(ctx, url)
	}
	if err != nil {
		return "", nil, errors.Join(err, drop())
	}
	return url, drop, nil
}
