package postgrestest

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

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
