package postgrestest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Cockroach stands in front of a real PostgreSQL and plays CockroachDB 25.2 as its
// documentation describes it, where that differs from PostgreSQL:
//
//   - version() names CockroachDB, text is ordered by its bytes, and an integer
//     divided by an integer is a DECIMAL (docs: "Functions and operators", operator
//     "/"; // is the whole-numbered one). The database has operators and a function
//     of its own for that, which the proxy lets win by the search path: PostgreSQL
//     itself then resolves types as CockroachDB does, and no text is rewritten.
//   - A message above 16 MiB is refused with 08P01 (docs: "Cluster settings",
//     sql.conn.max_read_buffer_message_size; the text is that of
//     pkg/sql/pgwire/pgwirebase/encoding.go).
//   - RELEASE SAVEPOINT cockroach_restart commits, and nothing but COMMIT or
//     ROLLBACK is answered after it; ROLLBACK TO it begins the transaction anew at
//     a new time (docs: "Advanced client-side transaction retries").
//   - A statement that changes the schema commits the transaction that it is in,
//     and COMMIT or ROLLBACK after that is a warning (docs: "Session variables",
//     autocommit_before_ddl, on by default since 25.1).
//   - On demand ([Faults]): 40001 at any statement and at RELEASE or COMMIT, 40003
//     after a commit that took effect (docs: "Transaction retry error reference",
//     "Common errors and solutions", result is ambiguous), and connections that are
//     cut.
//
// It does not play CockroachDB's planner, its contention or its speed.
type Cockroach struct {
	front
	direct string

	faults atomic.Pointer[Faults]
	opened atomic.Uint64 // connections, which are the streams of chance
	counts [4]atomic.Int64

	counting sync.Mutex // guards after
	after    int        // statements after which every connection is cut; negative: never
}

// Faults says how often what goes wrong, each as one in so many; 0 is never. What
// happens to a connection follows from Seed and the number of the connection.
type Faults struct {
	Seed      uint64
	Restart   int // commits that are answered with 40001 and did not happen
	Ambiguous int // commits that are answered with 40003 and did happen
	Read      int // requests with a SELECT, DECLARE or FETCH that are answered with 40001
	Write     int // other requests within a transaction, likewise
	Cut       int // requests whose connection is cut, half of them before they arrive
}

// Kinds of faults, as [Cockroach.Seen] counts them.
const (
	SeenRestart = iota // 40001
	SeenAmbiguous
	SeenCut
	SeenTooBig
)

// maxMessage is the default of sql.conn.max_read_buffer_message_size.
const maxMessage = 16 << 20

// played is the statement that stands for one which fails: PostgreSQL answers that
// it is no statement, and the proxy puts the played error in the place of that.
const played = "a_played_error"

// NewCockroach makes an empty database in a server and plays CockroachDB in front
// of it, without faults, until the test ends. It returns the URL through the proxy.
func NewCockroach(t testing.TB, s *Server) (c *Cockroach, through string) {
	t.Helper()
	if s.Foreign() {
		t.Skip("ALIQUOT_TEST_DATABASE is tested as it is, not through the proxy that plays CockroachDB")
	}
	s.templated.Do(func() { s.template(t) })
	c = &Cockroach{direct: s.Database(t, "TEMPLATE", template), after: -1}
	c.Play(Faults{})
	return c, c.serve(t, c.direct, c.carry)
}

// template is a database as CockroachDB has them.
const template = "aliquot_test_cockroach"

func (s *Server) template(t testing.TB) {
	t.Helper()
	u := *s.url
	u.Path = "/" + template
	s.Run(t, s.url.String(), "CREATE DATABASE "+template+" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'")
	statements := []string{`CREATE FUNCTION public.version() RETURNS text LANGUAGE sql IMMUTABLE
		AS $$ SELECT 'CockroachDB CCL v25.2.0 (played in front of PostgreSQL)' $$`}
	for _, left := range []string{"int2", "int4", "int8"} {
		for _, right := range []string{"int2", "int4", "int8"} {
			statements = append(statements,
				fmt.Sprintf("CREATE FUNCTION public.divided(%s, %s) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1::numeric OPERATOR(pg_catalog./) $2::numeric'", left, right),
				fmt.Sprintf("CREATE OPERATOR public./ (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.divided)", left, right))
		}
	}
	s.Run(t, u.String(), strings.Join(statements, ";"))
}

// Direct is the URL of the database without the proxy.
func (c *Cockroach) Direct() string { return c.direct }

// Play says what goes wrong from now on.
func (c *Cockroach) Play(f Faults) { c.faults.Store(&f) }

// Seen is how many faults of a kind there were.
func (c *Cockroach) Seen(kind int) int64 { return c.counts[kind].Load() }

// CutAfter cuts every connection before the statement that follows so many more,
// and lets everything through after that; a negative number is never.
func (c *Cockroach) CutAfter(statements int) {
	c.counting.Lock()
	defer c.counting.Unlock()
	c.after = statements
}

// WasCut reports whether what CutAfter said has happened.
func (c *Cockroach) WasCut() bool {
	c.counting.Lock()
	defer c.counting.Unlock()
	return c.after < 0
}

// reached counts a statement, and reports that it is the one to cut at.
func (c *Cockroach) reached() bool {
	c.counting.Lock()
	defer c.counting.Unlock()
	if c.after < 0 {
		return false
	}
	c.after--
	return c.after < 0
}

// carry answers one connection.
func (c *Cockroach) carry(client, server net.Conn) {
	s := &session{
		cockroach: c, chance: rand.New(rand.NewPCG(c.faults.Load().Seed, c.opened.Add(1))),
		fromClient: bufio.NewReaderSize(client, 64<<10), toClient: bufio.NewWriterSize(client, 64<<10),
		fromServer: bufio.NewReaderSize(server, 64<<10), toServer: bufio.NewWriterSize(server, 64<<10),
		status: 'I', statements: map[string]string{},
	}
	if s.start(client, server) {
		for s.request() == nil {
		}
	}
}

// The errors that are played, as CockroachDB words them.
var (
	restarted = &pgproto3.ErrorResponse{
		Severity: "ERROR", Code: "40001",
		Message: "restart transaction: TransactionRetryWithProtoRefreshError: played",
		Hint:    "See: https://www.cockroachlabs.com/docs/v25.2/transaction-retry-error-reference.html",
	}
	ambiguous = &pgproto3.ErrorResponse{Severity: "ERROR", Code: "40003", Message: "result is ambiguous: played"}
)

func tooBig(size int) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{
		Severity: "ERROR", Code: "08P01",
		Message: fmt.Sprintf("message size %d MiB bigger than maximum allowed message size %d MiB", size>>20, maxMessage>>20),
		Hint:    "the maximum message size can be configured using the sql.conn.max_read_buffer_message_size cluster setting",
	}
}
