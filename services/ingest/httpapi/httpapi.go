// Package httpapi accepts usage over HTTP.
//
// POST /v1/events takes CloudEvents 1.0 in structured, batched and binary mode,
// JSON Lines, and packed segments, identity, gzip or zstd encoded. GET
// /v1/usage/outcomes tells later what became of events. Whoever asks shows a
// bearer token. Faults of a request are RFC 9457 problem details.
//
// # Invariants
//
//   - 202 leaves after every accepted event is on disk.
//   - A body costs memory in proportion to what was read of it, and never more
//     than the limit, however small it is compressed.
//   - Nothing in a request reaches a log.
package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

// Headers of a request.
const (
	// ProviderHeader names the provider that an operator submits for.
	ProviderHeader = "Aliquot-Provider"
	// ReceivedHeader with the value "event" takes each event as received at its
	// own end, in books that allow it.
	ReceivedHeader = "Aliquot-Received"
)

const (
	retryAfter  = "1" // seconds
	maxWait     = 60 * time.Second
	bodyTimeout = 2 * time.Minute // to read one body
)

type handler struct {
	service *ingest.Service
	buffers sync.Pool // of *buffer
	gzips   sync.Pool // of *gzip.Reader
	zstds   sync.Pool // of *zstd.Decoder
}

// New returns the handler of POST /v1/events and GET /v1/usage/outcomes. The
// server around it limits headers and idle connections.
func New(service *ingest.Service) http.Handler {
	h := &handler{service: service}
	h.buffers.New = func() any { return new(buffer) }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", h.submit)
	mux.HandleFunc("GET /v1/usage/outcomes", h.outcomes)
	return mux
}

func (h *handler) submit(w http.ResponseWriter, r *http.Request) {
	submission, p := h.admit(r)
	if p != nil {
		p.write(w)
		return
	}
	b := h.buffers.Get().(*buffer)
	defer h.put(b)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // Not every server can.
	refused, err := h.read(r, b)
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		interrupted(err).write(w)
		return
	}
	submission.Body = b.data
	if refused != nil {
		// What is left of the body is not worth reading.
		w.Header().Set("Connection", "close")
		h.answer(w, h.service.Keep(submission, *refused))
		return
	}
	if submission.Form == ingest.Batch && isObject(b.data) && submission.Media != batchMedia {
		submission.Form = ingest.Single
	}
	answer, err := h.service.Submit(r.Context(), submission)
	if err != nil {
		interrupted(err).write(w)
		return
	}
	h.answer(w, answer)
}

// admit reads the headers.
func (h *handler) admit(r *http.Request) (ingest.Submission, *problem) {
	actor, p := h.authenticate(r)
	if p != nil {
		return ingest.Submission{}, p
	}
	provider, err := h.service.For(actor, events.Provider(r.Header.Get(ProviderHeader)))
	switch {
	case errors.Is(err, ingest.ErrNoProvider):
		return ingest.Submission{}, fault(http.StatusForbidden, events.Unauthorized, ProviderHeader, "names no declared provider: an operator says for whom it submits")
	case err != nil:
		return ingest.Submission{}, fault(http.StatusForbidden, events.Unauthorized, "Authorization", "this key may not submit usage for that provider")
	}
	form, media, p := formOf(r.Header)
	if p != nil {
		return ingest.Submission{}, p
	}
	submission := ingest.Submission{Actor: actor, Provider: provider, Form: form, Media: media, Header: r.Header}
	switch received := r.Header.Get(ReceivedHeader); received {
	case "", "now":
	case "event":
		submission.ReceivedFromEvent = true
	default:
		return ingest.Submission{}, fault(http.StatusBadRequest, events.Malformed, ReceivedHeader, `is neither "event" nor "now"`)
	}
	submission.Wait, p = waitOf(r)
	return submission, p
}

func (h *handler) authenticate(r *http.Request) (ingest.Actor, *problem) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); strings.EqualFold(scheme, "bearer") && token != "" {
		if actor, err := h.service.Authenticate(token); err == nil {
			return actor, nil
		}
	}
	p := fault(http.StatusUnauthorized, events.Unauthorized, "Authorization", "a bearer token is needed: Authorization: Bearer <token>")
	p.authenticate = true
	return ingest.Actor{}, p
}

const (
	batchMedia  = "application/cloudevents-batch+json"
	singleMedia = "application/cloudevents+json"
	packedMedia = "application/vnd.aliquot.packed"
)

// formOf reads Content-Type, whose media types and parameters have no case.
func formOf(header http.Header) (ingest.Form, string, *problem) {
	said := header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(said)
	if err != nil && said != "" {
		return 0, said, fault(http.StatusUnsupportedMediaType, events.Unsupported, "Content-Type", "is no media type")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return 0, media, fault(http.StatusUnsupportedMediaType, events.Unsupported, "Content-Type", "charset is not UTF-8")
	}
	isBinary := false
	for _, name := range [...]string{"Ce-Specversion", "Ce-Type", "Ce-Id", "Ce-Source"} {
		isBinary = isBinary || len(header[name]) > 0
	}
	switch {
	case media == batchMedia:
		return ingest.Batch, media, nil
	case media == singleMedia:
		return ingest.Single, media, nil
	case media == packedMedia:
		return ingest.Packed, media, nil
	case media == "application/x-ndjson" || media == "application/ndjson" || media == "application/jsonl":
		return ingest.Lines, media, nil
	case isBinary && (media == "application/json" || strings.HasSuffix(media, "+json")):
		return ingest.Binary, media, nil
	case media == "application/json":
		return ingest.Batch, media, nil
	}
	return 0, media, fault(http.StatusUnsupportedMediaType, events.Unsupported, "Content-Type",
		"is none of "+batchMedia+", "+singleMedia+", application/json, application/x-ndjson, "+packedMedia)
}

// isObject reports whether JSON begins as an object.
func isObject(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{'
	}
	return false
}

// waitOf reads "Prefer: wait=SECONDS" (RFC 7240) or ?wait=SECONDS.
func waitOf(r *http.Request) (time.Duration, *problem) {
	said, field := r.URL.Query().Get("wait"), "wait"
	for _, line := range r.Header.Values("Prefer") {
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
		return 0, fault(http.StatusBadRequest, events.BadNumber, field, "wait is not a number of seconds")
	}
	return min(time.Duration(seconds)*time.Second, maxWait), nil
}

// answer writes what became of a submission: 202 where something was accepted (200 once it is settled),
// 422 where every event was refused, 200 where there was none, and problem
// details where the submission as a whole was refused.
func (h *handler) answer(w http.ResponseWriter, answer ingest.Answer) {
	if len(answer.Refusals) == 1 && answer.Refusals[0].Index < 0 {
		refusal := answer.Refusals[0]
		p := fault(statusOf(refusal.Reason), refusal.Reason, refusal.Field, refusal.Detail)
		p.Refusals = answer.Refusals
		p.write(w)
		return
	}
	status := http.StatusAccepted
	switch {
	case answer.Accepted == 0 && answer.Refused == 0:
		status = http.StatusOK
	case answer.Accepted == 0:
		status = http.StatusUnprocessableEntity
	case answer.Outcomes != nil && answer.Outcomes.Settled:
		status = http.StatusOK
	}
	write(w, status, "application/json", answer)
}

func statusOf(reason events.Reason) int {
	switch reason {
	case events.TooLarge:
		return http.StatusRequestEntityTooLarge
	case events.Unauthorized:
		return http.StatusForbidden
	case events.Unsupported:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusBadRequest
}

// problem is an RFC 9457 problem.
type problem struct {
	Title    string           `json:"title"`
	Status   int              `json:"status"`
	Detail   string           `json:"detail,omitempty"`
	Field    string           `json:"field,omitempty"`
	Reason   events.Reason    `json:"reason,omitempty"`
	Refusals []events.Refusal `json:"refusals,omitempty"`

	authenticate, retry bool
}

func fault(status int, reason events.Reason, field, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, Field: field, Reason: reason}
}

// interrupted says that the same request may be sent again.
func interrupted(err error) *problem {
	status := http.StatusServiceUnavailable
	detail := "nothing is lost: send the same request again"
	if errors.Is(err, ingest.ErrFull) {
		status = http.StatusInsufficientStorage
		detail = "no space is left for usage: nothing was stored"
	}
	p := fault(status, "", "", detail)
	p.retry = true
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	if p.authenticate {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.retry {
		w.Header().Set("Retry-After", retryAfter)
	}
	write(w, p.Status, "application/problem+json", p)
}

func write(w http.ResponseWriter, status int, media string, value any) {
	data, err := json.Marshal(value)
	if err != nil { // No type here can fail.
		http.Error(w, fmt.Sprintf("encoding the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // Whoever went away can ask for the outcomes.
}
