package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Role is which service a process is.
type Role string

// The roles. Any number of processes may be ingest; of the others one works and
// the rest wait beside it.
const (
	Ingest     Role = "ingest"
	Settle     Role = "settle"
	Distribute Role = "distribute"
	Keep       Role = "keep"
)

// MaxPartition bounds the number of a partition: each has a stream, and each
// ingest process a publisher for it.
const MaxPartition = 4095

// Config is everything that can be set about a process. What changes figures is
// not here: it is in CONTROL.
type Config struct {
	Role Role

	// NATSURL is one or more servers of the JetStream cluster, separated by
	// commas: name several, or one that is down keeps the process from starting.
	NATSURL string
	// NATS is how this process and the cluster know each other.
	NATS eventlog.Credentials
	// Replicas of each stream: 3 on a cluster; 1 for a single server, whose loss
	// is then the loss of what it had.
	Replicas int
	// DatabaseURL is postgres://… for PostgreSQL or CockroachDB, or
	// sqlite:PATH for one file that the processes of one machine share.
	DatabaseURL string
	// Partitions is the partitions of usage, as "0-3" or "0,2,5-7". Ingest
	// accepts for these, all of them as a rule: a book of another is unknown to
	// it. Settle works on these, or waits beside whoever does. Keep keeps these:
	// all that are settled.
	Partitions string
	// Listen is host:port of the HTTP API, or of the health page where there is
	// no API; port 0 chooses one.
	Listen string
	// Dir is for what can be rebuilt: a settler's index of events without
	// sequence. Lost, it is read again from the streams. Of keep it is the folder
	// of the second copy, the signed logs and their key, which can not.
	Dir string
	// Witnesses are asked by keep for cosignatures of every checkpoint, those that
	// have a URL.
	Witnesses []tlog.PolicyWitness
	// OperatorTokenFile has the bearer token of the installation's own operator,
	// of at least 16 characters; empty: there is none, and only declared keys are
	// known. The same on every ingest process and on keep.
	OperatorTokenFile string
	// TakeOver does not wait for the owner to go: it is stopped. For a settler
	// that hangs and still answers.
	TakeOver bool
	// MetricsListen is host:port of a listener that answers GET /metrics, and
	// nothing else, without a token; empty: none.
	MetricsListen string
	// Telemetry is what metrics and traces go to; nil: nowhere. Whoever made it
	// closes it, after the process.
	Telemetry *telemetry.Telemetry
	// Logger is told what operators must know; nil: slog.Default.
	Logger *slog.Logger
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Role != Ingest && c.Role != Settle && c.Role != Distribute && c.Role != Keep {
		problem("role: %q is none of ingest, settle, distribute, keep", c.Role)
	}
	if c.NATSURL == "" {
		problem("NATS_URL: the servers of the cluster are needed")
	}
	if (c.NATS.CertFile == "") != (c.NATS.KeyFile == "") {
		problem("NATS_CERT_FILE and NATS_KEY_FILE: give both or neither")
	}
	if c.DatabaseURL == "" {
		problem("DATABASE_URL: the database is needed")
	} else if _, _, ok := kindOf(c.DatabaseURL); !ok {
		problem("DATABASE_URL: begins with none of postgres://, postgresql://, sqlite:")
	}
	if c.Replicas < 1 || c.Replicas > 5 || c.Replicas%2 == 0 {
		problem("ALIQUOT_REPLICAS: %d is none of 1, 3, 5", c.Replicas)
	}
	if c.Role != Distribute {
		if _, err := ParsePartitions(c.Partitions); err != nil {
			problem("ALIQUOT_PARTITIONS: %w", err)
		}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problem("ALIQUOT_LISTEN: %w", err)
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			problem("ALIQUOT_METRICS_LISTEN: %w", err)
		}
	}
	if (c.Role == Settle || c.Role == Keep) && c.Dir == "" {
		problem("ALIQUOT_DIR: a folder is needed")
	}
	return errors.Join(problems...)
}

// ParsePartitions reads a list of numbers and ranges, as "0-3,7".
func ParsePartitions(text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is neither a number nor a range such as 0-3", part)
		}
		to, err := strconv.ParseUint(last, 10, 16)
		if err != nil || to < from {
			return nil, fmt.Errorf("%q is neither a number nor a range such as 0-3", part)
		}
		if to > MaxPartition {
			return nil, fmt.Errorf("%d is above %d", to, MaxPartition)
		}
		for p := from; p <= to; p++ {
			list = append(list, int(p))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
