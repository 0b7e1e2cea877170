package postgrestest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
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
	listener net.Listener
	to       string
	direct   string

	faults atomic.Pointer[Faults]
	opened atomic.Uint64 // connections, which are the streams of chance
	counts [4]atomic.Int64

	mu    sync.Mutex // guards conns and after
	conns map[net.Conn]bool
	after int // statements after which every connection is cut; negative: never
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
	direct := s.Database(t, "TEMPLATE", template)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &Cockroach{listener: l, to: u.Host, direct: direct, conns: map[net.Conn]bool{}, after: -1}
	c.Play(Faults{})
	u.Host = l.Addr().String()
	var loops sync.WaitGroup
	loops.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			loops.Go(func() { c.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.Cut()
		loops.Wait()
	})
	return c, u.String()
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = statements
}

// WasCut reports whether what CutAfter said has happened.
func (c *Cockroach) WasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after < 0
}

// reached counts a statement, and reports that it is the one to cut at.
func (c *Cockroach) reached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after < 0 {
		return false
	}
	c.after--
	return c.after < 0
}

// Cut drops every connection.
func (c *Cockroach) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *Cockroach) keep(list ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range list {
		c.conns[conn] = true
	}
}

// carry answers one connection.
func (c *Cockroach) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	c.keep(client, server)
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

// message is one message of either direction.
type message struct {
	kind byte
	body []byte
}

func receive(from *bufio.Reader) (m message, err error) {
	var head [5]byte
	if _, err = io.ReadFull(from, head[:]); err != nil {
		return m, err
	}
	m.kind, m.body = head[0], make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(from, m.body)
	return m, err
}

// send buffers a message. An error stays in the writer, and shows when it is flushed.
func send(to *bufio.Writer, m message) {
	head := binary.BigEndian.AppendUint32([]byte{m.kind}, uint32(len(m.body)+4))
	_, _ = to.Write(head)
	_, _ = to.Write(m.body)
}

// text reads a string that ends with a zero, and returns what is after it.
func text(body []byte) (string, []byte) {
	s, rest, _ := bytes.Cut(body, []byte{0})
	return string(s), rest
}

// session is one connection. What PostgreSQL has and what is played differ in the
// state of the transaction, for a moment.
type session struct {
	cockroach            *Cockroach
	chance               *rand.Rand
	fromClient           *bufio.Reader
	toClient, toServer   *bufio.Writer
	fromServer           *bufio.Reader
	statements           map[string]string // prepared ones by their names
	begin                string            // what began the transaction
	status               byte              // of the transaction, as it is played: I, T or E
	released, overInside bool              // committed by RELEASE; ended in PostgreSQL, while it is played as failed
}

// start carries the beginning of a connection until the client may ask.
func (s *session) start(client, server net.Conn) bool {
	backend := pgproto3.NewBackend(s.fromClient, client)
	first, err := backend.ReceiveStartupMessage()
	if err != nil {
		return false
	}
	switch first := first.(type) {
	case *pgproto3.StartupMessage:
		// The operators of the database go before those of PostgreSQL.
		first.Parameters["search_path"] = "public, pg_catalog"
	case *pgproto3.CancelRequest:
	default:
		return false // the URL says that nothing is encrypted
	}
	data, err := first.Encode(nil)
	if err != nil {
		return false
	}
	if _, err := server.Write(data); err != nil {
		return false
	}
	for {
		m, err := receive(s.fromServer)
		if err != nil {
			return false
		}
		send(s.toClient, m)
		if m.kind == 'Z' || m.kind == 'E' {
			return s.toClient.Flush() == nil && m.kind == 'Z'
		}
	}
}

// request carries what the client sends up to a Query or a Sync, and its answer.
func (s *session) request() error {
	var list []message
	for {
		m, err := receive(s.fromClient)
		if err != nil {
			return err
		}
		list = append(list, m)
		if m.kind == 'Q' || m.kind == 'S' {
			break
		}
		if m.kind == 'X' {
			return io.EOF
		}
	}
	faults := s.cockroach.faults.Load()
	cut := s.happens(faults.Cut)
	if cut && s.chance.IntN(2) == 0 {
		s.cockroach.counts[SeenCut].Add(1)
		return io.ErrClosedPipe
	}
	var err error
	if list[0].kind == 'Q' {
		err = s.simple(list[0])
	} else {
		err = s.extended(list)
	}
	if err != nil {
		return err
	}
	if cut {
		s.cockroach.counts[SeenCut].Add(1)
		return io.ErrClosedPipe // before the answer is flushed
	}
	send(s.toClient, message{'Z', []byte{s.status}})
	return s.toClient.Flush()
}

func (s *session) happens(oneIn int) bool { return oneIn > 0 && s.chance.IntN(oneIn) == 0 }

// simple carries a Query: statement by statement, as CockroachDB does.
func (s *session) simple(m message) error {
	if len(m.body) > maxMessage {
		return s.fail(tooBig(len(m.body)))
	}
	query, _ := text(m.body)
	for _, statement := range split(query) {
		failed, err := s.statement(statement)
		if failed || err != nil {
			return err
		}
	}
	return nil
}

// statement carries one statement that came in a Query.
func (s *session) statement(statement string) (failed bool, err error) {
	faults := s.cockroach.faults.Load()
	words := strings.ToUpper(strings.Join(strings.Fields(statement), " "))
	if s.cockroach.reached() {
		return true, io.ErrClosedPipe
	}
	switch {
	case s.released || s.overInside:
		return s.afterEnd(statement, words)
	case strings.HasPrefix(words, "BEGIN"):
		s.begin = statement
	case words == "RELEASE SAVEPOINT COCKROACH_RESTART":
		if s.status == 'T' {
			return s.release(faults)
		}
	case words == "COMMIT":
		if s.status == 'T' {
			return s.commit(faults)
		}
	case words == "ROLLBACK TO SAVEPOINT COCKROACH_RESTART":
		if s.status != 'I' {
			if _, err := s.inside("ROLLBACK"); err != nil {
				return true, err
			}
			return false, s.again()
		}
	case changesSchema(words):
		if s.status == 'T' {
			if problem, err := s.inside("COMMIT"); err != nil || problem != nil {
				s.show(problem)
				return true, err
			}
		}
	case strings.HasPrefix(words, "ROLLBACK"):
	case s.status == 'T' && s.happens(rate(faults, words)):
		return true, s.restart()
	}
	return s.forward(message{'Q', append([]byte(statement), 0)})
}

// rate is how often a statement within a transaction is to be begun again.
func rate(faults *Faults, words string) int {
	for _, reads := range []string{"SELECT", "DECLARE", "FETCH"} {
		if strings.HasPrefix(words, reads) {
			return faults.Read
		}
	}
	if strings.HasPrefix(words, "CLOSE") || strings.HasPrefix(words, "SAVEPOINT") {
		return 0
	}
	return faults.Write
}

func changesSchema(words string) bool {
	for _, w := range []string{"CREATE ", "ALTER ", "DROP ", "TRUNCATE ", "COMMENT ON "} {
		if strings.HasPrefix(words, w) {
			return true
		}
	}
	return false
}

// release commits, as RELEASE SAVEPOINT cockroach_restart does.
func (s *session) release(faults *Faults) (failed bool, err error) {
	if s.happens(faults.Restart) {
		return true, s.restart()
	}
	problem, err := s.inside("COMMIT")
	if err != nil {
		return true, err
	}
	switch {
	case problem != nil:
		s.show(problem)
	case s.happens(faults.Ambiguous):
		s.cockroach.counts[SeenAmbiguous].Add(1)
		s.show(ambiguous)
	default:
		s.released, s.status = true, 'T'
		s.complete("RELEASE")
		return false, nil
	}
	s.overInside, s.status = true, 'E'
	return true, nil
}

func (s *session) commit(faults *Faults) (failed bool, err error) {
	if s.happens(faults.Restart) {
		s.cockroach.counts[SeenRestart].Add(1)
		_, err := s.inside("ROLLBACK")
		s.show(restarted)
		return true, err
	}
	problem, err := s.inside("COMMIT")
	switch {
	case err != nil:
		return true, err
	case problem != nil:
		s.show(problem)
		return true, nil
	case s.happens(faults.Ambiguous):
		s.cockroach.counts[SeenAmbiguous].Add(1)
		s.show(ambiguous)
		return true, nil
	}
	s.complete("COMMIT")
	return false, nil
}

// afterEnd answers what comes after a RELEASE that succeeded or failed: PostgreSQL
// has no transaction any more.
func (s *session) afterEnd(_, words string) (failed bool, err error) {
	released := s.released
	switch {
	case words == "ROLLBACK TO SAVEPOINT COCKROACH_RESTART" && !released:
		return false, s.again()
	case words == "COMMIT" || words == "ROLLBACK":
		s.released, s.overInside, s.status = false, false, 'I'
		if released {
			words = "COMMIT"
		} else {
			words = "ROLLBACK"
		}
		s.complete(words)
		return false, nil
	case released:
		s.show(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "25000", Message: "current transaction is committed, commands ignored until end of transaction block"})
	default:
		s.show(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block"})
	}
	return true, nil
}

// again begins the transaction anew, at a new time.
func (s *session) again() error {
	s.overInside = false
	for _, statement := range []string{s.begin, "SAVEPOINT cockroach_restart"} {
		if problem, err := s.inside(statement); err != nil || problem != nil {
			s.show(problem)
			return err
		}
	}
	s.complete("ROLLBACK")
	return nil
}

// restart answers 40001, and has the transaction fail in PostgreSQL too.
func (s *session) restart() error {
	s.cockroach.counts[SeenRestart].Add(1)
	return s.fail(restarted)
}

// fail answers an error to a Query.
func (s *session) fail(problem *pgproto3.ErrorResponse) error {
	if problem.Code == "08P01" {
		s.cockroach.counts[SeenTooBig].Add(1)
	}
	if _, err := s.inside(played); err != nil {
		return err
	}
	s.show(problem)
	return nil
}

// inside asks PostgreSQL for something that the client does not see.
func (s *session) inside(statement string) (problem *pgproto3.ErrorResponse, err error) {
	send(s.toServer, message{'Q', append([]byte(statement), 0)})
	if err := s.toServer.Flush(); err != nil {
		return nil, err
	}
	for {
		m, err := receive(s.fromServer)
		if err != nil {
			return nil, err
		}
		switch m.kind {
		case 'E':
			problem = &pgproto3.ErrorResponse{}
			if err := problem.Decode(m.body); err != nil {
				return nil, err
			}
		case 'Z':
			s.status = m.body[0]
			return problem, nil
		}
	}
}

// forward carries messages to PostgreSQL and its answers back, all but the last.
func (s *session) forward(list ...message) (failed bool, err error) {
	for _, m := range list {
		send(s.toServer, m)
	}
	if err := s.toServer.Flush(); err != nil {
		return true, err
	}
	return s.answers(nil)
}

// answers carries PostgreSQL's answers; the one to the played statement is another.
func (s *session) answers(instead *pgproto3.ErrorResponse) (failed bool, err error) {
	for {
		m, err := receive(s.fromServer)
		if err != nil {
			return true, err
		}
		switch m.kind {
		case 'Z':
			s.status = m.body[0]
			return failed, nil
		case 'E':
			failed = true
			if instead != nil && bytes.Contains(m.body, []byte(played)) {
				s.show(instead)
				continue
			}
		}
		send(s.toClient, m)
	}
}

func (s *session) show(m pgproto3.BackendMessage) {
	if problem, ok := m.(*pgproto3.ErrorResponse); ok && problem == nil {
		return
	}
	data, err := m.Encode(nil)
	if err == nil {
		_, _ = s.toClient.Write(data)
	}
}

func (s *session) complete(tag string) {
	s.show(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// extended carries Parse, Bind, Describe, Execute and so on up to a Sync.
func (s *session) extended(list []message) error {
	faults := s.cockroach.faults.Load()
	var instead *pgproto3.ErrorResponse
	var most, at int // the statement that is most often to fail, and where it is
	for i, m := range list {
		if len(m.body) > maxMessage {
			s.cockroach.counts[SeenTooBig].Add(1)
			instead, list = tooBig(len(m.body)), append(list[:i:i], parse(played), message{kind: 'S'})
			break
		}
		statement := ""
		switch m.kind {
		case 'P':
			name, rest := text(m.body)
			statement, _ = text(rest)
			s.statements[name] = statement
		case 'B':
			_, rest := text(m.body)
			name, _ := text(rest)
			statement = s.statements[name]
			if s.cockroach.reached() {
				return io.ErrClosedPipe
			}
		default:
			continue
		}
		if n := rate(faults, strings.ToUpper(strings.TrimSpace(statement))); n > 0 && (most == 0 || n < most) {
			most, at = n, i
		}
	}
	if s.released || s.overInside {
		if _, err := s.afterEnd("", ""); err != nil {
			return err
		}
		return nil
	}
	if instead == nil && s.status == 'T' && s.happens(most) {
		s.cockroach.counts[SeenRestart].Add(1)
		instead, list = restarted, append(list[:at:at], parse(played), message{kind: 'S'})
	}
	for _, m := range list {
		send(s.toServer, m)
	}
	if err := s.toServer.Flush(); err != nil {
		return err
	}
	_, err := s.answers(instead)
	return err
}

func parse(statement string) message {
	return message{'P', append(append([]byte{0}, statement...), 0, 0, 0)}
}

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

// split divides SQL into its statements, without those that are empty. It knows
// strings, names, comments to the end of a line, and $$ quotes.
func split(query string) (list []string) {
	from := 0
	empty := true
	for i := 0; i < len(query); i++ {
		rest := query[i:]
		end := ""
		switch {
		case query[i] == ';':
			if !empty {
				list = append(list, strings.TrimSpace(query[from:i]))
			}
			from, empty = i+1, true
			continue
		case strings.HasPrefix(rest, "--"):
			end = "\n"
			if empty {
				// A comment before a statement is not a part of it.
				if n := strings.Index(rest, end); n >= 0 {
					i += n
				} else {
					i = len(query)
				}
				from = min(i+1, len(query))
				continue
			}
		case query[i] == '\'', query[i] == '"':
			end = query[i : i+1]
		case strings.HasPrefix(rest, "$$"):
			end = "$$"
		}
		if end != "" {
			n := strings.Index(rest[len(end):], end)
			if n < 0 {
				break
			}
			i += len(end) + n + len(end) - 1
		}
		empty = empty && strings.TrimSpace(query[i:i+1]) == ""
	}
	if !empty {
		list = append(list, strings.TrimSpace(query[from:]))
	}
	return list
}
