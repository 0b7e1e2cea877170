package porttest

import (
	"fmt"
	"net"
	"testing"
)

func TestAPortIsFreeAndReturnedOnce(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 100 {
		port := Free(t)
		if seen[port] {
			t.Fatalf("port %d is returned twice", port)
		}
		seen[port] = true
		// One that is in use is passed over.
		taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+int((next.Load()+1)%(end-first))))
		if err == nil {
			defer func() { _ = taken.Close() }()
			seen[taken.Addr().(*net.TCPAddr).Port] = true
		}
	}
}
