// Package natsapi accepts usage over NATS.
//
// A provider publishes what it would send over HTTP to in.<provider>, as a
// request. The answer is the same JSON, and comes after the accepted events are
// on disk. A client that gets no answer sends the request again; duplicates are
// found. Without a Content-Type, a body that begins as a JSON object or array
// does is read as JSON, and every other one as PackedMedia. Content-Encoding,
// Aliquot-Received and the ce-… attributes mean the same as over HTTP. The
// answer's header Aliquot-Status is the HTTP status.
//
// [Grant] decides when a client connects to which subjects it may publish, so the
// subject identifies the sender.
//
// # Invariants
//
//   - A provider's key can publish only to its own in.<provider>, and can listen
//     only to its own inbox, _INBOX_<provider>.>.
//   - An answer that counts events as accepted leaves after they are on disk.
//   - The number of messages in progress is limited.
package natsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/directory"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/ingest"
)

const (
	prefix  = "in."
	queue   = "ingest"
	workers = 64

	// How many messages may wait for a worker. The client library drops more, and
	// their senders get no answer.
	pendingMessages = 10_000
	pendingBytes    = 64 << 20

	// StatusHeader is the HTTP status of an answer.
	StatusHeader = "Aliquot-Status"
)

// Subject is the subject to which a provider submits.
func Subject(provider events.Provider) string {
	return prefix + eventlog.SubjectToken(string(provider))
}

// InboxPrefix is the prefix of the inbox in which a provider's client must
// receive its answers: nats.CustomInboxPrefix.
func InboxPrefix(provider events.Provider) string {
	return "_INBOX_" + eventlog.SubjectToken(string(provider))
}

// Grant says what the owner of an nkey may do on the server, for
// eventlog.Config.Auth. Only providers' keys may do anything.
func Grant(service *ingest.Service, nkey string) (eventlog.Grant, error) {
	actor, err := service.AuthenticateNKey(nkey)
	if err != nil {
		return eventlog.Grant{}, fmt.Errorf("admitting an nkey: %w", err)
	}
	if actor.Scope != "provider" {
		return eventlog.Grant{}, fmt.Errorf("admitting an nkey: %w", ingest.ErrForbidden)
	}
	return eventlog.Grant{
		Name:      string(actor.Name),
		Publish:   []string{Subject(actor.Provider)},
		Subscribe: []string{InboxPrefix(actor.Provider) + ".>"},
	}, nil
}

// Serve answers requests until ctx ends, and returns when those in progress are
// answered. Several processes may serve one cluster: each request goes to one of
// them.
func Serve(ctx context.Context, conn *nats.Conn, service *ingest.Service) error {
	s := &server{service: service}
	slots := make(chan struct{}, workers)
	subscription, err := conn.QueueSubscribe(prefix+"*", queue, func(message *nats.Msg) {
		select {
		case slots <- struct{}{}: // While all are in use, requests wait in the subscription.
		case <-ctx.Done():
			return // It gets no answer, so the sender repeats it.
		}
		go func() {
			s.answer(ctx, message)
			<-slots
		}()
	})
	if err == nil {
		err = subscription.SetPendingLimits(pendingMessages, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("serving usage over NATS: %w", err)
	}
	<-ctx.Done()
	err = subscription.Unsubscribe()
	for range workers {
		slots <- struct{}{}
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("serving usage over NATS: %w", err)
	}
	return nil
}

type server struct {
	service *ingest.Service

	mu       sync.Mutex // guards what follows
	position uint64     // of the directory from which actors was made
	actors   map[events.Provider]ingest.Actor
}

func (s *server) answer(ctx context.Context, message *nats.Msg) {
	status, media, body := s.submit(ctx, message)
	if message.Reply == "" {
		return
	}
	answer := nats.NewMsg(message.Reply)
	answer.Header.Set("Content-Type", media)
	answer.Header.Set(StatusHeader, strconv.Itoa(status))
	answer.Data = body
	if len(body)+256 > eventlog.MaxMessageBytes {
		// There are thousands of refusals: the provider finds them in its list of
		// refused submissions.
		_, media, answer.Data = ingest.NewProblem(status, events.TooLarge, "", "the answer does not fit into a message: send fewer events at a time").Encode()
		answer.Header.Set("Content-Type", media)
	}
	_ = message.RespondMsg(answer) // A client that gets no answer asks again.
}

func (s *server) submit(ctx context.Context, message *nats.Msg) (status int, media string, answer []byte) {
	provider, err := eventlog.ParseSubjectToken(strings.TrimPrefix(message.Subject, prefix))
	if err != nil {
		return ingest.NewProblem(403, events.Unauthorized, "subject", "does not name a provider").Encode()
	}
	actor, ok := s.actor(events.Provider(provider))
	if !ok {
		return ingest.NewProblem(403, events.Unauthorized, "subject", "the provider has no nkey").Encode()
	}
	submission := ingest.Submission{
		Actor:    actor,
		Provider: actor.Provider,
		Header:   message.Header,
		Media:    header(message.Header, "Content-Type"),
	}
	switch header(message.Header, "Aliquot-Received") {
	case "", "now":
	case "event":
		submission.ReceivedFromEvent = true
	default:
		return ingest.NewProblem(400, events.Malformed, "Aliquot-Received", `must be "event" or "now"`).Encode()
	}
	body, refused, err := s.service.ReadBody(ctx, actor.Provider, bytes.NewReader(message.Data), int64(len(message.Data)), header(message.Header, "Content-Encoding"))
	defer body.Release()
	if err != nil {
		return ingest.Interrupted(err).Encode()
	}
	submission.Body = body.Bytes()
	if submission.Media == "" {
		submission.Media = mediaOf(submission.Body)
	}
	if refused == nil {
		attributes := header(message.Header, "ce-specversion") != "" || header(message.Header, "ce-type") != ""
		submission.Form, submission.Media, refused = ingest.FormOf(submission.Media, attributes, submission.Body)
	}
	var a events.Answer
	if refused != nil {
		a = s.service.Keep(submission, *refused)
	} else if a, err = s.service.Submit(ctx, submission); err != nil {
		return ingest.Interrupted(err).Encode()
	}
	return ingest.Encode(&a)
}

// actor returns who submits for a provider: the name of its nkey, or the provider
// itself if it has several. A client that connected earlier is refused once all
// nkeys of its provider are revoked.
func (s *server) actor(provider events.Provider) (ingest.Actor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service.Directory(func(d *directory.Directory) {
		if s.actors != nil && d.Position() == s.position {
			return
		}
		s.position, s.actors = d.Position(), map[events.Provider]ingest.Actor{}
		for _, k := range d.Keys() {
			if k.NKey == "" || k.Scope != "provider" {
				continue
			}
			actor := ingest.Actor{Name: events.Actor("provider:" + k.Key), Key: k.Key, Scope: k.Scope, Provider: k.Provider}
			if _, several := s.actors[k.Provider]; several {
				actor.Name, actor.Key = events.Actor("provider:"+k.Provider), ""
			}
			s.actors[k.Provider] = actor
		}
	})
	actor, ok := s.actors[provider]
	return actor, ok
}

// mediaOf guesses the media type of a body without one. A packed body begins with
// the length of a segment, which may be the code of a brace or a bracket. But the
// tag of the segment's version follows, which is a backspace, and JSON has no
// backspace there.
func mediaOf(body []byte) string {
	const version = 1 << 3 // field 1, varint (wire type 0)
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) > 1 && (text[0] == '{' || text[0] == '[') && text[1] != version {
		return "application/json"
	}
	return ingest.PackedMedia
}

// header finds a header whatever the case of its name, because NATS keeps it as
// written.
func header(h nats.Header, name string) string {
	if value := h.Get(name); value != "" {
		return value
	}
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
