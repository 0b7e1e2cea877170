package httpapi

import (
	"io"
	"net/http"
	"time"

	"github.com/aliquot-engine/aliquot/services/ingest"
)

// bodyTimeout is how long one body may take, however fast it comes.
const bodyTimeout = 2 * time.Minute

// paced reads a body, whose connection it gives up once the body is slower than
// the rate that the service asks for.
type paced struct {
	from    io.Reader
	control *http.ResponseController
	pace    ingest.Pace
	start   time.Time
	read    int64
	known   int64 // how much was read when the deadline was set last
}

// pace begins to read a body.
func pace(w http.ResponseWriter, r *http.Request, as ingest.Pace) *paced {
	p := &paced{from: r.Body, control: http.NewResponseController(w), pace: as, start: time.Now()}
	p.deadline()
	return p
}

// deadline is set again each time that twice as much was read: a body that
// always keeps twice the rate is never given up.
func (p *paced) deadline() {
	p.known = p.read
	allowed := min(p.pace.Allows(p.read), bodyTimeout)
	_ = p.control.SetReadDeadline(p.start.Add(allowed)) // Not every server can.
}

// Read implements [io.Reader].
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	if p.read += int64(n); p.read >= 2*p.known && n > 0 {
		p.deadline()
	}
	return n, err
}

// end lets the connection wait for the next request.
func (p *paced) end() { _ = p.control.SetReadDeadline(time.Time{}) }
