package sqlite

import (
	"strings"

	"zombiezen.com/go/sqlite"
)

// perStatement is how many rows one statement inserts, if there are that many.
// It takes a sixth less time than one statement for each row; more rows gain
// nothing.
const perStatement = 32

// insertRows inserts n rows into a table; rest follows the values in the
// statement. bind sets the values of row i, whose first column is parameter
// at+1.
func insertRows(conn *sqlite.Conn, into string, columns int, rest string, n int, bind func(s *sqlite.Stmt, at, i int)) error {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	i := 0
	for _, rows := range [2]int{perStatement, 1} {
		if n-i < rows {
			continue
		}
		s, err := conn.Prepare("INSERT INTO " + into + " VALUES " + strings.Repeat(row+", ", rows-1) + row + rest)
		if err != nil {
			return err
		}
		for ; n-i >= rows; i += rows {
			for k := range rows {
				bind(s, k*columns, i+k)
			}
			if err := run(s); err != nil {
				return err
			}
		}
	}
	return nil
}
