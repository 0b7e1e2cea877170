package cockroach

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// rowsPerStatement bounds the arrays of one statement: more gains nothing, and
// the message stays at a few megabytes.
const rowsPerStatement = 20_000

// errElsewhere means that the cursor does not stand where a commit begins.
var errElsewhere = errors.New("the cursor is elsewhere")

// script is statements that go to the database in one trip, in their order.
type script struct {
	batch pgx.Batch
	lines []scriptLine
}

type scriptLine struct {
	doing string // for an error
	rows  int64  // that must be affected; negative: any number
	wrong error  // where they are not
}

// add appends a statement; doing says what it is for.
func (s *script) add(doing, text string, args ...any) { s.want(doing, -1, nil, text, args...) }

// want appends a statement that must affect so many rows.
func (s *script) want(doing string, rows int64, wrong error, text string, args ...any) {
	s.batch.Queue(text, args...)
	s.lines = append(s.lines, scriptLine{doing, rows, wrong})
}

// run runs the statements, up to the first that fails.
func (s *script) run(ctx context.Context, tx pgx.Tx) (err error) {
	results := tx.SendBatch(ctx, &s.batch)
	defer func() {
		if e := results.Close(); err == nil {
			err = e
		}
	}()
	for _, l := range s.lines {
		done, err := results.Exec()
		if err != nil {
			return fmt.Errorf("%s: %w", l.doing, err)
		}
		if l.rows >= 0 && done.RowsAffected() != l.rows {
			return fmt.Errorf("%s: %w", l.doing, l.wrong)
		}
	}
	return nil
}

// chunks calls each for parts of a list of n rows.
func chunks(n int, each func(from, to int)) {
	for from := 0; from < n; from += rowsPerStatement {
		each(from, min(n, from+rowsPerStatement))
	}
}

// column makes an array of one field of rows.
func column[R, V any](rows []R, value func(*R) V) []V {
	list := make([]V, len(rows))
	for i := range rows {
		list[i] = value(&rows[i])
	}
	return list
}
