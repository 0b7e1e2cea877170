// Package porttest finds ports of 127.0.0.1 for servers that a test starts as
// processes of their own, and starts again on the same port.
//
// The method: ports are taken in turn, from a random one on, out of a range that
// no system uses for outgoing connections. A port that the system chose could be
// given to a connection while its server is away.
//
// # Invariants
//
//   - One process never returns a port twice.
//   - Nobody listens on a port when it is returned.
package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// Ports from first up to end, which is not one, are used.
const first, end = 12_000, 32_000

var next atomic.Int64

func init() { next.Store(rand.Int64N(end - first)) }

// Free returns a port.
func Free(t testing.TB) int {
	t.Helper()
	for range end - first {
		port := first + int(next.Add(1)%(end-first))
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatalf("no port from %d to %d is free", first, end-1)
	return 0
}
