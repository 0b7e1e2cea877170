package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// meaning says what an error answer of the server means for the request that
// it answers.
type meaning uint8

const (
	// refused: nothing was stored or changed, and asking again will not help.
	refused meaning = iota + 1
	// again: nothing was stored or changed, and the same request may succeed
	// later.
	again
	// unknown: the message may have been stored, or may still be. Only reading
	// the stream back shows which.
	unknown
	// full: nothing was stored, because there is no room.
	full
	// tooLarge: nothing was stored, because the message is larger than allowed.
	tooLarge
	// wrongLast: nothing was stored, because stream or subject end elsewhere.
	wrongLast
	// absent: the stream does not hold the message.
	absent
)

// meanings has every error code of nats-server 2.15.2 (server/errors.json) that
// can answer one of these requests: publishing with an expected stream, an
// expected last sequence and a message id; creating, describing and listing
// streams; reading one message; creating and deleting consumers.
// TestEveryAnswer reads the server's source and fails where a code is missing
// here.
var meanings = map[jetstream.ErrorCode]meaning{
	// Publishing. Until a leader has proposed a message, an error means that it
	// is not stored: stream.go, processClusteredInboundMsg and
	// processJetStreamMsgWithBatch.
	10002: full,      // resource limits exceeded for account
	10009: unknown,   // the answering server is no longer the leader
	10023: full,      // insufficient resources: the server's storage limit
	10028: full,      // insufficient memory resources available
	10047: full,      // insufficient storage resources available
	10054: tooLarge,  // message size exceeds maximum allowed
	10060: refused,   // another stream has the subject
	10063: unknown,   // a replica resets itself while it applies what was agreed: the message may still be stored
	10070: refused,   // wrong last message id, which a publish here never asks for
	10071: wrongLast, // wrong last sequence
	10077: unknown,   // storing failed, see ofStoring
	10097: tooLarge,  // header size exceeds maximum allowed of 64k
	10109: refused,   // invalid operation on sealed stream
	10111: refused,   // roll-up, which is never requested here
	10158: unknown,   // an earlier publish of this message id has been proposed and not stored yet
	10163: again,     // the expected last sequence of the subject cannot be checked yet
	10164: wrongLast, // wrong last sequence, without saying which it is
	10167: again,     // the server's queue is full
	10193: refused,   // missing sequence for expected last sequence per subject
	10201: unknown,   // the message id repeats one that is being stored

	// Headers that are never set here: time to live, counters, schedules,
	// sources.
	10165: refused, 10166: refused, 10168: refused, 10169: refused, 10170: refused, 10171: refused, 10172: refused,
	10188: refused, 10189: refused, 10190: refused, 10191: refused, 10192: refused, 10203: refused, 10212: refused,
	10223: refused, 10227: refused,

	// Requests to a cluster that elects a leader, or to a server that starts or
	// stops.
	10004: again, // incomplete results
	10005: again, // no suitable peers for placement: the others are not back yet
	10006: again, // JetStream not in clustered mode: not yet
	10007: again, // JetStream cluster not assigned to this server
	10008: again, // JetStream system temporarily unavailable
	10010: again, // JetStream clustering support required: not yet
	10035: again, // account not found: the server is starting
	10039: again, // JetStream not enabled for account: the server is starting or stopping
	10041: again, // an error of the Raft layer
	10048: again, // an error of an assignment
	10049: again, // a stream could not be created
	10051: again, // a general error of a stream
	10076: again, // JetStream not enabled: the server is starting or stopping
	10118: again, // stream is offline
	10119: again, // consumer is offline
	10194: again, // stream is offline, with a reason
	10195: again, // consumer is offline, with a reason
	10202: again, // the cluster's members are changing
	10226: again, // a reconfiguration of the stream is under way

	// Streams.
	10027: refused, // maximum number of streams reached
	10052: refused, // invalid configuration of a stream
	10053: refused, // limits of streams
	10056: refused, // stream name in subject does not match request
	10058: refused, // stream name already in use with a different configuration
	10059: refused, // stream not found
	10065: refused, // subjects overlap with an existing stream
	10074: refused, // replicas > 1 not supported in non-clustered mode
	10096: again,   // stream not valid: it is closing
	10113: refused, // account requires a stream config to have max bytes set
	10117: refused, // subject details would exceed maximum allowed
	10120: refused, // no JetStream default or applicable tiered limit present
	10122: refused, // stream max bytes exceeds account limit
	10128: refused, // stream name can not contain path separators
	10130: again,   // a stream of this name is being restored
	10133: refused, // replicas count cannot be negative
	10157: refused, // pedantic mode

	// Reading one message.
	10003: refused, // bad request
	10025: refused, // invalid JSON
	10037: absent,  // no message found
	10038: refused, // expected an empty request payload
	10185: refused, // JetStream minimum api level required

	// Consumers. After those that may pass, a reader opens a new consumer; see
	// [Reader].
	10012: again,   // a consumer could not be created
	10013: again,   // consumer name already in use: the answer to the first request was lost
	10014: again,   // consumer not found
	10026: refused, // maximum consumers limit reached
	10104: again,   // error creating store for consumer
	10105: again,   // consumer already exists and is still active
	10148: again,   // consumer already exists
	10149: again,   // consumer does not exist
	10225: refused, // consumer's stream identity does not match
}

// meaningOf sorts an error answer. nats-server 2.15.2 answers none of these
// requests with a code that is missing in the table. For such a code, an
// HTTP-like status below 500 means that the request was refused; from 500 on
// the server had a problem, and it is unknown what it stored.
func meaningOf(answer *jetstream.APIError) meaning {
	if answer.ErrorCode == 10077 {
		return ofStoring(answer.Description)
	}
	if m, ok := meanings[answer.ErrorCode]; ok {
		return m
	}
	if answer.Code >= 500 || answer.Code == 429 {
		return unknown
	}
	return refused
}

// ofStoring sorts the reasons of 10077, which are the texts of the server's
// file store (store.go). A limit is checked before anything is written. A
// closed store concerns one replica only: the others may keep the message.
func ofStoring(description string) meaning {
	switch description {
	case server.ErrMaxMsgs.Error(), server.ErrMaxBytes.Error(), server.ErrMaxMsgsPerSubject.Error():
		return full
	case server.ErrMsgTooLarge.Error():
		return tooLarge
	}
	return unknown
}

// refusal turns an error answer to a publish into an error that callers know.
func refusal(future *Future, answer *jetstream.APIError) error {
	switch meaningOf(answer) {
	case wrongLast:
		wrong := &WrongLastSequenceError{Stream: future.stream.name, Subject: future.subject}
		if _, number, found := strings.Cut(answer.Description, ": "); found {
			last, err := strconv.ParseUint(number, 10, 64)
			wrong.Last, wrong.Known = last, err == nil
		}
		return wrong
	case tooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, answer)
	case full:
		return fmt.Errorf("%w: %w", ErrFull, answer)
	case again:
		return fmt.Errorf("%w: %w", ErrUnavailable, answer)
	case unknown:
		return fmt.Errorf("%w: %w", ErrAmbiguous, answer)
	case refused, absent:
	}
	return answer
}

// interrupted turns the error of a request that stores no message into an error
// that callers know. Such a request can always be repeated.
func interrupted(err error) error {
	var answer *jetstream.APIError
	if errors.As(err, &answer) {
		switch meaningOf(answer) {
		case again, unknown, full: // A lack of room for a stream or a consumer passes.
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case absent:
			return ErrNotFound
		case refused, tooLarge, wrongLast:
			return err
		}
	}
	switch {
	case errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
		// A cluster without a leader answers with an error, or not at all.
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Unavailable reports whether an error is [ErrUnavailable]: the log did not
// answer, and the same request may succeed later.
func Unavailable(err error) bool { return errors.Is(err, ErrUnavailable) }
