// Package standby finds out which process owns a task that one process at a
// time should do (settling a partition, or distributing), so that another
// process can wait as a standby and take over within seconds.
//
// The method: the owner answers questions on a subject of NATS, and a standby
// asks it. When there was no answer for a while, the standby stops waiting. No
// lease can expire, and no clocks are compared.
//
// # Invariants
//
//   - This is an optimisation. The cursor in the database prevents two owners
//     from both committing: each owner takes it over under its own name, so the
//     previous owner's next commit fails and it stops.
//   - A process that cannot reach the streams does not take over, because that
//     would stop a process that can.
package standby

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/nats-io/nats.go"
)

const (
	// Patience is how long there must be no answer before a standby takes over.
	// If it were shorter than a client's reconnection (a second or two after
	// its server was killed), owners would be replaced without need.
	Patience = 4 * time.Second

	every  = 500 * time.Millisecond
	answer = time.Second // how long one question waits
)

// Subject is the subject on which the owner of a name answers.
func Subject(name string) string { return "aliquot.owner." + name }

// Own answers questions about a name with who, until the returned function is
// called.
func Own(conn *nats.Conn, name, who string) (release func(), err error) {
	subscription, err := conn.Subscribe(Subject(name), func(question *nats.Msg) {
		_ = question.Respond([]byte(who)) // a standby that gets no answer asks again
	})
	if err != nil {
		return nil, fmt.Errorf("announcing the owner of %s: %w", name, err)
	}
	return func() { _ = subscription.Unsubscribe() }, nil
}

// Wait returns when there was no answer for a name for as long as patience, not
// counting time without a connection. between is called after each answer, with
// the owner's description of itself.
func Wait(ctx context.Context, conn *nats.Conn, name string, patience time.Duration, between func(owner string)) error {
	silent := time.Now()
	return retry.Until(ctx, every, func() (over bool, err error) {
		asking, cancel := context.WithTimeout(ctx, answer)
		reply, err := conn.RequestWithContext(asking, Subject(name), nil)
		cancel()
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil:
			between(string(reply.Data))
			silent = time.Now()
		case errors.Is(err, nats.ErrConnectionClosed):
			return false, fmt.Errorf("waiting for %s: %w", name, err)
		case !conn.IsConnected(), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
			silent = time.Now() // this process is the one without a connection
		case time.Since(silent) >= patience:
			return true, nil
		}
		return false, nil
	})
}
