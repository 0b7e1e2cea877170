// Package standby says who works on something that one process at a time should
// work on, a partition or the distribution, so that another one can wait beside
// it and take over within seconds.
//
// The method: the owner answers questions on a subject of NATS, and a standby
// asks it. When nobody has answered for a while, the standby stops waiting.
// There is no lease to expire and no clock to compare.
//
// # Invariants
//
//   - This is an optimisation. What keeps two owners from both committing is the
//     cursor in the database, which each takes over by name: the one that was
//     there before finds it gone at its next commit, and stops.
//   - A process that cannot reach the streams does not take over: it would stop
//     the one that can.
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
	// Patience is how long nobody must answer before a standby takes over.
	// Shorter than a client's reconnection (a second or two after its server was
	// killed), and owners would be replaced for nothing.
	Patience = 4 * time.Second

	every  = 500 * time.Millisecond
	answer = time.Second // how long one question waits
)

// Subject is where the owner of a name answers.
func Subject(name string) string { return "aliquot.owner." + name }

// Own answers for a name, saying who answers, until the returned function is
// called.
func Own(conn *nats.Conn, name, who string) (release func(), err error) {
	subscription, err := conn.Subscribe(Subject(name), func(question *nats.Msg) {
		_ = question.Respond([]byte(who)) // a standby that hears nothing asks again
	})
	if err != nil {
		return nil, fmt.Errorf("saying that %s is owned: %w", name, err)
	}
	return func() { _ = subscription.Unsubscribe() }, nil
}

// Wait returns when nobody has answered for a name for as long as patience,
// counted while the connection stood. between is called after each answer, with
// the owner's own words.
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
			silent = time.Now() // we are the ones who are away
		case time.Since(silent) >= patience:
			return true, nil
		}
		return false, nil
	})
}
