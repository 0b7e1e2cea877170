package cockroach

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between pgx and the database, and does to connections what
// networks do.
type proxy struct {
	listener net.Listener
	to       string

	commits atomic.Int64 // COMMITs seen
	// fault says what to do at a COMMIT, by how many were seen before it.
	fault func(commit int64) fault
	slow  atomic.Int64 // nanoseconds that each answer waits
	shut  atomic.Bool  // nothing is let through

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

type fault int

const (
	none       fault = iota
	dropBefore       // COMMIT does not reach the database
	dropAfter        // it does, and its answer is lost
)

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, fault: func(int64) fault { return none }, conns: map[net.Conn]bool{}}
	var loops sync.WaitGroup
	loops.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			loops.Go(func() { p.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		loops.Wait()
	})
	return p
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

// cut drops every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	if p.shut.Load() {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.keep(client)
	p.keep(server)
	var lost atomic.Bool // the answers of this connection do not arrive any more
	answered := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if !lost.Load() {
				_ = client.Close() // what the database ends, ends
			}
		}()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if n > 0 {
				time.Sleep(time.Duration(p.slow.Load()))
				if lost.Load() {
					answered <- struct{}{}
					return
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			what := none
			// pgx sends COMMIT as a simple query, and nothing with it.
			if bytes.Contains(buffer[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
				what = p.fault(p.commits.Add(1) - 1)
			}
			if what == dropBefore {
				break
			}
			lost.Store(what == dropAfter)
			if _, err := server.Write(buffer[:n]); err != nil {
				break
			}
			if what == dropAfter {
				<-answered
				break
			}
		}
		if err != nil {
			if err != io.EOF {
				_ = server.Close()
			}
			break
		}
	}
	_ = server.Close()
	<-done
}
