package cockroach

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/aliquot-engine/aliquot/internal/store"
)

// The arrays of one statement are limited in rows, because more rows gain
// nothing, and in bytes: CockroachDB refuses a message above 16 MiB
// (https://www.cockroachlabs.com/docs/v25.2/cluster-settings,
// sql.conn.max_read_buffer_message_size), and advises against large ones. A row
// that exceeds the limit alone has its own statement.
const (
	rowsPerStatement  = 20_000
	bytesPerStatement = 4 << 20
	// bytesPerRow is an upper bound of what a row needs in addition to its
	// texts and bytes: thirteen columns, each with its length, and numbers of 8
	// bytes or an amount as text.
	bytesPerRow = 13*4 + 12*8 + 4*48
)

// script is a list of statements that are sent to the database in one round
// trip, in their order.
type script struct {
	batch pgx.Batch
	lines []scriptLine
}

type scriptLine struct {
	doing string // for an error
	rows  int64  // number of rows that must be affected; negative means any number
	wrong error  // the error if it is another number
}

// add appends a statement; doing describes its purpose for errors.
func (s *script) add(doing, text string, args ...any) { s.want(doing, -1, nil, text, args...) }

// move appends the statement that moves a cursor. It fails with
// [store.ErrElsewhere].
func (s *script) move(to store.Statement) {
	s.want("moving the cursor", 1, store.ErrElsewhere, dollars(to.Text), to.Args...)
}

// want appends a statement that must affect this number of rows.
func (s *script) want(doing string, rows int64, wrong error, text string, args ...any) {
	s.batch.Queue(text, args...)
	s.lines = append(s.lines, scriptLine{doing, rows, wrong})
}

// run runs the statements until one fails.
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

// chunks calls each for parts of a list of rows; size is how many bytes of text and
// bytes a row has.
func chunks[R any](rows []R, size func(*R) int, each func(from, to int)) {
	from, total := 0, 0
	for i := range rows {
		n := bytesPerRow + size(&rows[i])
		if i > from && (i-from == rowsPerStatement || total+n > bytesPerStatement) {
			each(from, i)
			from, total = i, 0
		}
		total += n
	}
	if from < len(rows) {
		each(from, len(rows))
	}
}

// small is the size of a row that has only numbers.
func small[R any](*R) int { return 0 }

// column makes an array of one field of rows.
func column[R, V any](rows []R, value func(*R) V) []V {
	list := make([]V, len(rows))
	for i := range rows {
		list[i] = value(&rows[i])
	}
	return list
}
