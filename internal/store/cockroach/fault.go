package cockroach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// classify marks the errors after which a repetition may succeed. ctx is the
// caller's: if it has ended, there is no reason to retry.
func classify(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !interrupted(err) {
		return err
	}
	return fmt.Errorf("%w: %w", interruption{contended(err)}, err)
}

// interruption is an error that both settle and distribute recognise.
type interruption struct{ contended bool }

func (interruption) Error() string { return settlement.ErrInterrupted.Error() }

func (i interruption) Is(target error) bool {
	return target == settlement.ErrInterrupted || target == distribution.ErrInterrupted || i.contended && target == store.ErrContended
}

// interrupted reports whether the database failed only at this time, as opposed
// to an error that will not pass. Classes are those of appendix A of
// PostgreSQL's manual.
func interrupted(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code {
		case "08P01", // protocol violation, which CockroachDB reports for a message above its limit
			"40002", // a constraint, which a repetition would violate again
			"57P04": // the database was dropped
			return false
		}
		switch server.Code[:2] {
		case "08", // connection exception
			"40", // transaction rollback: serialization failure, deadlock, outcome unknown
			"53", // insufficient resources: disk full, too many connections
			"57", // operator intervention: shutdown, starting up, a statement cancelled
			"58", // system error: input or output
			"CR": // CockroachDB: retry
			return true
		}
		switch server.Code {
		case "25006", // read only: the request came while another node took over
			"25P02", // an earlier statement of the transaction failed
			"55P03": // lock not available
			return true
		}
		return false
	}
	var (
		ambiguous *crdb.AmbiguousCommitError
		retries   *crdb.MaxRetriesExceededError
		network   net.Error
		connect   *pgconn.ConnectError
		unsent    interface{ SafeToRetry() bool }
	)
	return errors.As(err, &ambiguous) || errors.As(err, &retries) || errors.As(err, &network) || errors.As(err, &connect) ||
		errors.As(err, &unsent) && unsent.SafeToRetry() ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded)
}

// contended reports whether a transaction failed because of another one, and
// wrote nothing: it may be retried at once.
func contended(err error) bool {
	var retries *crdb.MaxRetriesExceededError // only 40001 is retried
	if errors.As(err, &retries) {
		return true
	}
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "40001" || server.Code == "40P01")
}
