// Package httpapi accepts usage over HTTP.
//
// POST /v1/events accepts CloudEvents 1.0 in structured, batched and binary mode,
// JSON Lines, and packed segments, in the encodings identity, gzip or zstd. GET
// /v1/usage/outcomes says later what became of the events. Every request needs a
// bearer token. Faults of a request are answered with RFC 9457 problem details.
//
// # Invariants
//
//   - 202 leaves after every accepted event is on disk.
//   - A body takes memory in proportion to what was read of it, and never more
//     than the limit, however well it is compressed.
//   - No content of a request reaches a log.
package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// Headers of a request.
const (
	// ProviderHeader names the provider that an operator submits for.
	ProviderHeader = "Aliquot-Provider"
	// ReceivedHeader with the value "event" uses each event's last instant as the
	// time at which it was received. The book must allow it.
	ReceivedHeader = "Aliquot-Received"
)

const (
	retryAfter = "1" // seconds
	maxWait    = 60 * time.Second
)

type handler struct {
	service *ingest.Service
}

// New returns the handler of POST /v1/events and GET /v1/usage/outcomes. The
// server must limit headers and idle connections itself.
func New(service *ingest.Service) http.Handler {
	h := &handler{service: service}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", h.submit)
	mux.HandleFunc("GET /v1/usage/outcomes", h.outcomes)
	return mux
}

func (h *handler) submit(w http.ResponseWriter, r *http.Request) {
	submission, p := h.admit(r)
	if p != nil {
		refuse(w, p)
		return
	}
	from := pace(w, r, h.service.Pace())
	body, refused, err := h.service.ReadBody(r.Context(), submission.Provider, from, r.ContentLength, r.Header.Get("Content-Encoding"))
	defer body.Release()
	if err == nil {
		from.end() // Otherwise the deadline also limits reading the rest of the body.
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		refuse(w, ingest.NewProblem(http.StatusRequestTimeout, "", "body", "nothing was stored, because the body arrived too slowly: send the same again"))
		return
	}
	if err != nil {
		w.Header().Set("Connection", "close") // The state of the connection is unknown.
		refuse(w, ingest.Unread(err))
		return
	}
	submission.Body = body.Bytes()
	submission.Media = r.Header.Get("Content-Type")
	if refused != nil {
		w.Header().Set("Connection", "close") // The rest of the body is not worth reading.
	} else {
		submission.Form, submission.Media, refused = ingest.FormOf(submission.Media, hasAttributes(r.Header), submission.Body)
	}
	var answer events.Answer
	if refused != nil {
		answer = h.service.Keep(submission, *refused)
	} else if answer, err = h.service.Submit(r.Context(), submission); err != nil {
		refuse(w, ingest.Interrupted(err))
		return
	}
	write(w, func() (int, string, []byte) { return ingest.Encode(&answer) })
}

// admit reads the headers that say who submits for whom, and how.
func (h *handler) admit(r *http.Request) (ingest.Submission, *ingest.Problem) {
	actor, p := h.authenticate(r)
	if p != nil {
		return ingest.Submission{}, p
	}
	provider, err := h.service.For(actor, events.Provider(r.Header.Get(ProviderHeader)))
	switch {
	case errors.Is(err, ingest.ErrNoProvider):
		return ingest.Submission{}, ingest.NewProblem(http.StatusForbidden, events.Unauthorized, ProviderHeader, "does not name a declared provider: an operator must name the provider for which it submits")
	case err != nil:
		return ingest.Submission{}, ingest.NewProblem(http.StatusForbidden, events.Unauthorized, "Authorization", "this key may not submit usage for that provider")
	}
	submission := ingest.Submission{Actor: actor, Provider: provider, Header: r.Header}
	switch r.Header.Get(ReceivedHeader) {
	case "", "now":
	case "event":
		submission.ReceivedFromEvent = true
	default:
		return ingest.Submission{}, ingest.NewProblem(http.StatusBadRequest, events.Malformed, ReceivedHeader, `must be "event" or "now"`)
	}
	submission.Wait, p = waitOf(r)
	return submission, p
}

func (h *handler) authenticate(r *http.Request) (ingest.Actor, *ingest.Problem) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); strings.EqualFold(scheme, "bearer") && token != "" {
		if actor, err := h.service.Authenticate(token); err == nil {
			return actor, nil
		}
	}
	return ingest.Actor{}, ingest.NewProblem(http.StatusUnauthorized, events.Unauthorized, "Authorization", "a bearer token is needed: Authorization: Bearer <token>")
}

// hasAttributes reports whether the headers contain a CloudEvent's attributes;
// the body is then its data.
func hasAttributes(header http.Header) bool {
	for _, name := range [...]string{"Ce-Specversion", "Ce-Type", "Ce-Id", "Ce-Source"} {
		if len(header[name]) > 0 {
			return true
		}
	}
	return false
}

// waitOf reads "Prefer: wait=SECONDS" (RFC 7240) or ?wait=SECONDS.
func waitOf(r *http.Request) (time.Duration, *ingest.Problem) {
	said, field := "", "wait"
	if r.URL.RawQuery != "" {
		said = r.URL.Query().Get("wait")
	}
	for _, line := range r.Header["Prefer"] {
		for preference := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "wait") && said == "" {
				said, field = strings.Trim(value, " \t\""), "Prefer"
			}
		}
	}
	if said == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(said, 10, 32)
	if err != nil {
		return 0, ingest.NewProblem(http.StatusBadRequest, events.BadNumber, field, "wait is not a number of seconds")
	}
	return min(time.Duration(seconds)*time.Second, maxWait), nil
}

func refuse(w http.ResponseWriter, p *ingest.Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", retryAfter)
	}
	write(w, p.Encode)
}

func write(w http.ResponseWriter, encode func() (int, string, []byte)) {
	status, media, body := encode()
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // A client that is gone can ask for the outcomes later.
}

// asJSON encodes a value that can always be encoded.
func asJSON(value any) func() (int, string, []byte) {
	return func() (int, string, []byte) {
		body, err := json.Marshal(value)
		if err != nil {
			return http.StatusInternalServerError, "application/json", nil
		}
		return http.StatusOK, "application/json", body
	}
}
