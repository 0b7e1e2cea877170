package cockroach

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema/*.sql
var schema embed.FS

// steps returns the names of the migrations, in their order.
func steps() []string {
	names, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.Sort(names)
	return names
}

// state is the state in which a database is found.
type state struct {
	cockroach bool
	version   int  // -1: does not belong to aliquot
	empty     bool // it has no tables
}

// inspect examines a database and changes nothing.
func inspect(ctx context.Context, conn *pgx.Conn) (s state, err error) {
	var version, encoding string
	var tables, marks int
	err = conn.QueryRow(ctx, `SELECT version(), current_setting('server_encoding'),
		(SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()),
		(SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'aliquot')`).
		Scan(&version, &encoding, &tables, &marks)
	if err != nil {
		return s, err
	}
	if !strings.EqualFold(encoding, "UTF8") {
		return s, fmt.Errorf("its encoding is %s: it must be UTF8", encoding)
	}
	s.cockroach = strings.Contains(version, "CockroachDB")
	s.version, s.empty = -1, tables == 0
	if marks == 1 {
		err := conn.QueryRow(ctx, "SELECT version FROM aliquot").Scan(&s.version)
		if errors.Is(err, pgx.ErrNoRows) && tables == 1 {
			s.version = 0 // the first migration was interrupted after its first statement
		} else if err != nil {
			return s, fmt.Errorf("its table aliquot was not made by aliquot: %w", err)
		}
	}
	return s, nil
}

// fits returns an error unless the database has the schema that this program
// knows.
func (s state) fits() error {
	known := len(steps())
	switch {
	case s.empty:
		return errors.New("it is empty: run aliquot migrate")
	case s.version < 0:
		return errNotOurs
	case s.version > known:
		return newer(s.version)
	case s.version < known:
		return fmt.Errorf("its schema is version %d, this program needs %d: run aliquot migrate", s.version, known)
	}
	return nil
}

var errNotOurs = errors.New("it has tables that are not aliquot's: is it another database?")

func newer(version int) error {
	return fmt.Errorf("its schema is version %d, this program knows up to %d: use the newer program", version, len(steps()))
}

// Migration is the result of [Migrate].
type Migration struct {
	Database string `json:"database"` // its name, without the password
	From     int    `json:"from"`     // version of the schema before; 0 if there was none
	To       int    `json:"to"`
}

// Migrate brings the schema of a database up to date, and creates it in an
// empty database. A step is not one transaction: from 25.1 on, CockroachDB
// commits before each statement that changes the schema
// (https://www.cockroachlabs.com/docs/v25.2/session-variables,
// autocommit_before_ddl). So every statement of a step can be repeated, and the
// version, which is written last, says that all of them are done: an
// interrupted migration is repeated from the beginning of its step. Two
// migrations at once do no harm.
func Migrate(ctx context.Context, url string) (m Migration, err error) {
	pools, err := parse(url)
	if err != nil {
		return m, err
	}
	config := pools.ConnConfig
	m.Database = name(config)
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrating the database %s: %w", m.Database, oneLine(err))
		}
	}()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	found, err := inspect(ctx, conn)
	if err != nil {
		return m, err
	}
	switch {
	case found.version < 0 && !found.empty:
		return m, errNotOurs
	case found.version > len(steps()):
		return m, newer(found.version)
	}
	m.From = max(found.version, 0)
	for m.To = m.From; m.To < len(steps()); m.To++ {
		if err := step(ctx, conn, found.cockroach, m.To); err != nil {
			return m, err
		}
	}
	return m, nil
}

// dialect makes the two differences between the databases: CockroachDB always
// orders strings by their bytes and has no name for that order, and it does not
// get the parts that are marked for PostgreSQL.
func dialect(text string, cockroach bool) string {
	if cockroach {
		return strings.ReplaceAll(text, ` COLLATE "C"`, "")
	}
	return strings.ReplaceAll(text, "\n--postgresql ", "\n")
}

// statements divides a migration at the lines that end with a semicolon. It
// leaves out comment lines.
func statements(text string) (list []string) {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		if lines = append(lines, line); strings.HasSuffix(line, ";") {
			list = append(list, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	return list
}

// step applies the migration after a version, or repeats it.
func step(ctx context.Context, conn *pgx.Conn, cockroach bool, version int) error {
	file := steps()[version]
	data, err := schema.ReadFile(file)
	if err != nil {
		return err
	}
	for _, statement := range statements(dialect(string(data), cockroach)) {
		if err := say(ctx, conn, statement); err != nil {
			return fmt.Errorf("with %s: %w", file, err)
		}
	}
	if err := say(ctx, conn, "UPDATE aliquot SET version = $1 WHERE version = $2", version+1, version); err != nil {
		return fmt.Errorf("with %s: %w", file, err)
	}
	return nil
}

// say runs a statement of a migration, and repeats it while another migration
// or transaction conflicts with it.
func say(ctx context.Context, conn *pgx.Conn, statement string, args ...any) error {
	return contending(func(err error) bool { return contended(err) || madeMeanwhile(err) }).Do(ctx, func() error {
		_, err := conn.Exec(ctx, statement, args...)
		return err
	})
}

// madeMeanwhile reports whether a statement conflicted with another migration
// in PostgreSQL, where IF NOT EXISTS checks before it creates.
func madeMeanwhile(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return false
	}
	switch server.Code {
	case "23505", // a row of the catalog exists already
		"42P07", // a table of that name exists already
		"42710": // the type of a view's rows exists already
		return true
	}
	return server.Code == "XX000" && strings.Contains(server.Message, "concurrently")
}
