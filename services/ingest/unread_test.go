package ingest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// A body that cannot be read is its sender's fault, whatever is wrong with its
// framing: the answer must not ask for the same body again.
func TestABodyThatCannotBeReadIsRefused(t *testing.T) {
	b := open(t, eventlog.Config{}, nil)
	body := string(batch(used("a")))
	for _, test := range []struct{ name, header, body string }{
		{"a chunk without a length", "Transfer-Encoding: chunked", "zz\r\n" + body + "\r\n0\r\n\r\n"},
		{"a chunk longer than it says", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body)-3, body)},
		{"a chunk of a negative length", "Transfer-Encoding: chunked", "-1\r\n" + body + "\r\n0\r\n\r\n"},
		{"a chunk length beyond 64 bits", "Transfer-Encoding: chunked", strings.Repeat("f", 20) + "\r\n" + body},
		{"a chunked body that ends early", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", len(body)+100, body)},
		{"a body shorter than its length", fmt.Sprintf("Content-Length: %d", len(body)+100), body},
		{"a compressed body in bad chunks", "Content-Encoding: gzip\r\nTransfer-Encoding: chunked", "xyz\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n%s",
				acmeToken, ingest.BatchMedia, test.header, test.body)
			if err == nil {
				err = conn.(*net.TCPConn).CloseWrite()
			}
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), string(events.Malformed)) || strings.Contains(string(text), "again") {
				t.Errorf("%s %s", response.Status, text)
			}
		})
	}
	if list := b.stored(); len(list) > 0 {
		t.Errorf("stored: %v", list)
	}
	if a := b.post(ingest.BatchMedia, batch(used("a"))); a.Accepted != 1 {
		t.Errorf("a good one: %+v", a)
	}
}
