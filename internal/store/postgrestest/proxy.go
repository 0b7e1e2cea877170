package postgrestest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between pgx and the database, and does to connections what
// networks do.
type Proxy struct {
	front

	commits atomic.Int64                      // COMMITs seen
	fault   atomic.Pointer[func(int64) Fault] // what happens to them
	slow    atomic.Int64                      // nanoseconds that each answer waits
}

// Fault is what happens to a COMMIT.
type Fault int

const (
	None       Fault = iota
	DropBefore       // it does not reach the database
	DropAfter        // it does, and its answer is lost
)

// NewProxy returns a proxy, until the test ends, for the database of a URL, and
// the URL through it.
func NewProxy(t testing.TB, address string) (p *Proxy, through string) {
	t.Helper()
	p = &Proxy{}
	return p, p.serve(t, address, p.carry)
}

// OnCommit says what happens to each COMMIT from now on, by how many there were
// before; nil: nothing.
func (p *Proxy) OnCommit(fault func(commit int64) Fault) { p.fault.Store(&fault) }

// Commits is how many COMMITs there were.
func (p *Proxy) Commits() int64 { return p.commits.Load() }

// Slow makes each answer wait.
func (p *Proxy) Slow(wait time.Duration) { p.slow.Store(int64(wait)) }

func (p *Proxy) carry(client, server net.Conn) {
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
			what := None
			// pgx sends COMMIT as a simple query, and nothing with it.
			if bytes.Contains(buffer[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
				n := p.commits.Add(1) - 1
				if fault := p.fault.Load(); fault != nil && *fault != nil {
					what = (*fault)(n)
				}
			}
			if what == DropBefore {
				break
			}
			lost.Store(what == DropAfter)
			if _, err := server.Write(buffer[:n]); err != nil {
				break
			}
			if what == DropAfter {
				<-answered
				break
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = server.Close()
			}
			break
		}
	}
	_ = server.Close()
	<-done
}
