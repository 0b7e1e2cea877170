package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aliquot-engine/aliquot/internal/telemetry/trail"
)

const (
	// windowBytes and windowMessages limit the messages of one stream that are
	// in flight.
	windowBytes    = 8 << 20
	windowMessages = 256

	// maxSubjectBytes keeps the protocol line below the server's 4,096: a
	// longer line would end the connection for every user of it.
	maxSubjectBytes = 1024

	// messageOverhead is an upper bound of the headers that a publish adds.
	messageOverhead = 256
)

// PublishOptions are the conditions under which a message is stored.
type PublishOptions struct {
	// MsgID identifies the message: a repetition within the duplicate window of
	// 2 s returns the position of the first one and is not stored.
	MsgID string
	// ExpectLastSeq is the position at which the stream must end.
	ExpectLastSeq *uint64
	// ExpectLastSubjectSeq is the position of the subject's last message, 0
	// for a subject without one.
	ExpectLastSubjectSeq *uint64
	// Header is stored with the message, and so is the trace of the publish's
	// context if it is sampled and there is room.
	Header nats.Header
}

// WrongLastSequenceError says where the stream or subject really ends. It is
// ErrWrongLastSequence to errors.Is.
type WrongLastSequenceError struct {
	Stream  string
	Subject string
	// Last is the actual last position; Known is false if the server does not
	// say.
	Last  uint64
	Known bool
}

// Error names the stream, the subject and the actual end.
func (e *WrongLastSequenceError) Error() string {
	if !e.Known {
		return fmt.Sprintf("%v: stream %s, subject %s", ErrWrongLastSequence, e.Stream, e.Subject)
	}
	return fmt.Sprintf("%v: stream %s, subject %s ends at %d", ErrWrongLastSequence, e.Stream, e.Subject, e.Last)
}

// Is makes errors.Is(err, ErrWrongLastSequence) true.
func (e *WrongLastSequenceError) Is(target error) bool { return target == ErrWrongLastSequence }

// Future is the outcome of a publish in progress.
type Future struct {
	stream    *Stream
	subject   string
	weight    int64
	done      chan struct{}
	seq       uint64
	duplicate bool
	err       error
}

// Done is closed when the outcome is known.
func (f *Future) Done() <-chan struct{} { return f.done }

// Wait returns the position of the stored message. If ctx ends first, the error
// is ErrAmbiguous, because the message may be stored nevertheless.
func (f *Future) Wait(ctx context.Context) (uint64, error) {
	select {
	case <-f.done:
		return f.seq, f.err
	default:
	}
	select {
	case <-f.done:
		return f.seq, f.err
	case <-ctx.Done():
		return 0, fmt.Errorf("publishing to stream %s: %w: %w", f.stream.name, ErrAmbiguous, ctx.Err())
	}
}

// Duplicate reports, once Done is closed, whether MsgID had been stored before.
func (f *Future) Duplicate() bool {
	<-f.done
	return f.duplicate
}

// resolve is called exactly once, by the goroutine that removes the future from
// the log's pending map.
func (f *Future) resolve(seq uint64, duplicate bool, err error) {
	f.seq, f.duplicate = seq, duplicate
	if err != nil {
		f.err = fmt.Errorf("publishing to stream %s: %w", f.stream.name, err)
	}
	close(f.done)
	f.stream.bytes.Release(f.weight)
	f.stream.count.Release(1)
}

// Publish stores a message and returns its position, after the message is on
// disk. Errors other than ErrAmbiguous mean that it is not stored. It does not
// retry, because only the caller can recognise a repetition.
func (s *Stream) Publish(ctx context.Context, subject string, data []byte, options PublishOptions) (uint64, error) {
	future, err := s.PublishAsync(ctx, subject, data, options)
	if err != nil {
		return 0, err
	}
	return future.Wait(ctx)
}

// PublishAsync sends a message without waiting for its outcome, after waiting
// for room in the stream's window of 8 MiB and 256 messages. Messages of one
// goroutine are stored in the order in which it sends them; if one is refused,
// the later ones are stored nevertheless. data and the header must stay
// unchanged until the future is done.
func (s *Stream) PublishAsync(ctx context.Context, subject string, data []byte, options PublishOptions) (*Future, error) {
	if s.source != nil {
		return nil, fmt.Errorf("publishing to stream %s: %w", s.name, ErrReadOnly)
	}
	if !validSubject(subject) {
		return nil, fmt.Errorf("publishing to stream %s: %w %.64q", s.name, ErrBadSubject, subject)
	}
	if size := messageSize(data, options); size > MaxMessageBytes {
		return nil, fmt.Errorf("publishing to stream %s: %w: %d bytes with headers, limit %d", s.name, ErrTooLarge, size, MaxMessageBytes)
	}
	traced := trail.Header(ctx)
	if len(traced) > 0 && messageSize(data, options)+trail.MostBytes > MaxMessageBytes {
		traced = nil // No message is refused because of its trace.
	}
	if s.log.space != nil {
		if err := s.log.space.check(); err != nil {
			return nil, fmt.Errorf("publishing to stream %s: %w", s.name, err)
		}
	}
	weight := int64(len(data) + messageOverhead)
	if err := s.count.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("publishing to stream %s: waiting for room: %w: %w", s.name, ErrUnavailable, err)
	}
	if err := s.bytes.Acquire(ctx, weight); err != nil {
		s.count.Release(1)
		return nil, fmt.Errorf("publishing to stream %s: waiting for room: %w: %w", s.name, ErrUnavailable, err)
	}
	message := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for key, values := range traced {
		message.Header[key] = values
	}
	for key, values := range options.Header {
		message.Header[key] = values
	}
	future := &Future{stream: s, subject: subject, weight: weight, done: make(chan struct{})}
	if err := s.log.send(message, future, publishOptions(s.name, options)); err != nil {
		s.bytes.Release(weight)
		s.count.Release(1)
		return nil, fmt.Errorf("publishing to stream %s: %w", s.name, err)
	}
	return future, nil
}

func publishOptions(stream string, options PublishOptions) []jetstream.PublishOpt {
	// The stream is named, so that it is an error if another stream has taken
	// the subject. Without retries, the caller controls order and outcome.
	result := []jetstream.PublishOpt{jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0)}
	if options.MsgID != "" {
		result = append(result, jetstream.WithMsgID(options.MsgID))
	}
	if options.ExpectLastSeq != nil {
		result = append(result, jetstream.WithExpectLastSequence(*options.ExpectLastSeq))
	}
	if options.ExpectLastSubjectSeq != nil {
		result = append(result, jetstream.WithExpectLastSequencePerSubject(*options.ExpectLastSubjectSeq))
	}
	return result
}

// messageSize returns an upper bound of the size that the server counts:
// headers and data.
func messageSize(data []byte, options PublishOptions) int {
	size := len(data) + messageOverhead + len(options.MsgID)
	for key, values := range options.Header {
		for _, value := range values {
			size += len(key) + len(value) + len(": \r\n")
		}
	}
	return size
}

// validSubject reports whether messages can be published to a subject: tokens
// without wildcards.
func validSubject(subject string) bool {
	if subject == "" || len(subject) > maxSubjectBytes {
		return false
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return false
		}
		for i := range len(token) {
			if c := token[i]; c <= ' ' || c == 0x7f || c == '*' || c == '>' {
				return false
			}
		}
	}
	return true
}

// send registers the future before an answer to the message can arrive.
func (l *Log) send(message *nats.Msg, future *Future, options []jetstream.PublishOpt) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrUnavailable, ErrClosed)
	}
	l.pending[message] = future
	l.mu.Unlock()
	if _, err := l.publisher.PublishMsgAsync(message, options...); err != nil {
		if l.take(message) == nil {
			// Close has resolved the future in the meantime.
			return nil
		}
		return unsent(err)
	}
	return nil
}

// unsent classifies the errors of the client library's send. Only for errors
// that it returns before it writes is it known that nothing was stored.
func unsent(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrHeadersNotSupported),
		errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrAmbiguous, err)
}

func (l *Log) take(message *nats.Msg) *Future {
	l.mu.Lock()
	defer l.mu.Unlock()
	future := l.pending[message]
	delete(l.pending, message)
	return future
}

// acknowledged is the library's callback for a stored message.
func (l *Log) acknowledged(_ jetstream.JetStream, message *nats.Msg, ack *jetstream.PubAck) {
	future := l.take(message)
	if future == nil {
		return
	}
	if ack.Stream != future.stream.name {
		// WithExpectStream excludes this; an answer from another stream says
		// nothing about this one.
		future.resolve(0, false, fmt.Errorf("%w: answered by stream %s", ErrAmbiguous, ack.Stream))
		return
	}
	future.resolve(ack.Sequence, ack.Duplicate, nil)
}

// refused is the library's callback for every other outcome. It may be called
// under the library's lock, so it must not publish.
func (l *Log) refused(_ jetstream.JetStream, message *nats.Msg, err error) {
	future := l.take(message)
	if future == nil {
		return
	}
	future.resolve(0, false, l.outcome(future, err))
}

// outcome classifies the error of a publish that was sent.
func (l *Log) outcome(future *Future, err error) error {
	var answer jetstream.JetStreamError
	if errors.As(err, &answer) && answer.APIError() != nil {
		return refusal(future, answer.APIError())
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		// No server listens on the subject, so none stored the message.
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// Timed out, disconnected, or an answer that cannot be read. If the disk
	// fails, publishers get no answer; only the server's health shows why.
	if unhealthy := l.Healthy(); unhealthy != nil {
		return fmt.Errorf("%w: %w (%w)", ErrAmbiguous, err, unhealthy)
	}
	return fmt.Errorf("%w: %w", ErrAmbiguous, err)
}
