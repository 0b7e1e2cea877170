package httpapi

import (
	"io"
	"net/http"
	"time"

	"github.com/aliquot-engine/aliquot/services/ingest"
)

// bodyTimeout is how long one body may take at most.
const bodyTimeout = 2 * time.Minute

// paced reads a body. It gives up the connection once the body arrives slower
// than the service requires.
type paced struct {
	from    io.Reader
	control *http.ResponseController
	pace    ingest.Pace
	start   time.Time
	read    int64
	known   int64 // how much had been read when the deadline was last set
}

// pace starts reading a body.
func pace(w http.ResponseWriter, r *http.Request, as ingest.Pace) *paced {
	p := &paced{from: r.Body, control: http.NewResponseController(w), pace: as, start: time.Now()}
	p.deadline()
	return p
}

// deadline sets the deadline again each time that twice as much was read: a body
// that always arrives at twice the required rate is never given up.
func (p *paced) deadline() {
	p.known = p.read
	allowed := min(p.pace.Allows(p.read), bodyTimeout)
	_ = p.control.SetReadDeadline(p.start.Add(allowed)) // Some servers cannot set one.
}

// Read implements [io.Reader].
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	if p.read += int64(n); p.read >= 2*p.known && n > 0 {
		p.deadline()
	}
	return n, err
}

// end removes the deadline, so that the connection can wait for the next request.
func (p *paced) end() { _ = p.control.SetReadDeadline(time.Time{}) }
