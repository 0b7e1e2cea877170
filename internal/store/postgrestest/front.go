package postgrestest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// front listens in place of a database, carries connections to it, and can cut
// them.
type front struct {
	to string // host and port of the database

	mu    sync.Mutex        // guards what follows
	conns map[net.Conn]bool // open ones, of both sides
	over  bool              // no connection is carried any more
}

// serve listens until the test ends, in front of the database of a URL, and
// returns the URL through it. carry is called with each client's connection and
// one to the database for it, in a goroutine of its own; both are closed when it
// returns.
func (f *front) serve(t testing.TB, address string, carry func(client, server net.Conn)) (through string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.to, f.conns = u.Host, map[net.Conn]bool{}
	var loops sync.WaitGroup
	loops.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			loops.Go(func() { f.connect(client, carry) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		f.mu.Lock()
		f.over = true
		f.mu.Unlock()
		f.Cut()
		loops.Wait()
	})
	u.Host = listener.Addr().String()
	return u.String()
}

func (f *front) connect(client net.Conn, carry func(client, server net.Conn)) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !f.open(client, server) {
		return
	}
	defer f.closed(client, server)
	carry(client, server)
}

func (f *front) open(list ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range list {
		f.conns[conn] = true
	}
	return !f.over
}

func (f *front) closed(list ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range list {
		delete(f.conns, conn)
	}
}

// Cut closes every connection.
func (f *front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
}
