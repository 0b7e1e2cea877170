package host

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

// Role is the service that a shared process runs.
type Role string

// The roles. Any number of processes may run ingest; of each other role one
// process works and the others stand by.
const (
	Ingest     Role = "ingest"
	Settle     Role = "settle"
	Distribute Role = "distribute"
	Keep       Role = "keep"
)

// MaxPartition is the largest number of a partition. It is limited because each
// partition has a stream, and each ingest process has a publisher for it.
const MaxPartition = 4095

// Config is everything that can be configured about a process. Settings that
// change figures are not here, but in CONTROL.
type Config struct {
	// Dir is the folder; it is created if absent. For an embedded process it
	// has everything. For a shared settler it has only the index of events
	// without a sequence, which is read from the streams again if it is lost.
	// For keep it has the second copy, the signed logs and their key, which
	// cannot be rebuilt.
	Dir string
	// Listen is host:port of the HTTP API, or of the health page if the role
	// has no API; port 0 chooses a free one, see [Process.URL].
	Listen string
	// DatabaseURL names the database of the ledger. An embedded process uses
	// PostgreSQL or CockroachDB (postgres://…), prepared by `aliquot migrate`,
	// or if it is empty, ledger.db in the folder. A shared process uses one of
	// these, or sqlite:PATH for one file that the processes of one machine
	// share.
	DatabaseURL string
	// MetricsListen is host:port of a listener that answers only GET /metrics,
	// without a token; empty: none. Everybody who can reach it sees how much
	// usage there is.
	MetricsListen string
	// Telemetry receives metrics and traces; nil: they are discarded. The
	// caller closes it after the process.
	Telemetry *telemetry.Telemetry
	// Witnesses that have a URL are asked to cosign every checkpoint. A missing
	// or slow witness does not stop anything.
	Witnesses []tlog.PolicyWitness
	// Logger receives what operators must know; nil: slog.Default.
	Logger *slog.Logger

	// Shared configures a process that runs one role; nil: this process runs
	// every role. The fields below it are for embedded processes.
	Shared *Shared

	// NATSListen is host:port for providers that publish over NATS with an
	// nkey; empty: none.
	NATSListen string
	// ReserveBytes is the free space below which usage is refused; 0 means the
	// event log's default. If it is too small, a full disk makes the streams
	// unwritable until a restart.
	ReserveBytes int64
	// Partitions is the number of partitions of usage, each settled by its own
	// loop; 0 means as many as before, or 1 in a new folder. It may grow from
	// one start to the next but never shrink, because a book stays in its
	// partition.
	Partitions int
	// LazySync acknowledges usage before it is on disk. Use it only to measure
	// what syncing costs: a power cut then loses accepted usage.
	LazySync bool
	// Unkept omits the second copy and the verifiable logs. Use it only to
	// measure what they cost: messages that JetStream loses then have no other
	// copy. The next process that keeps them continues from where they end.
	Unkept bool
	// Patient makes the start wait, and answer /livez and /readyz at Listen,
	// while the disk is full or a command holds the folder. Otherwise both are
	// errors.
	Patient bool
}

// Shared configures the role of a process on a cluster and a database that
// other processes also use.
type Shared struct {
	Role Role
	// NATSURL is one or more servers of the JetStream cluster, separated by
	// commas. Name several: with only one, the process cannot start while that
	// server is down.
	NATSURL string
	// NATS has the credentials of this process and the authorities that it
	// trusts.
	NATS eventlog.Credentials
	// Replicas is the number of replicas of each stream: 3 on a cluster, 1 for
	// a single server. With 1 the loss of the server loses its messages.
	Replicas int
	// Partitions lists partitions of usage, as "0-3" or "0,2,5-7". Ingest
	// accepts usage for these, usually all: to it, books of other partitions
	// are unknown. Settle works on these, or stands by for their owner. Keep
	// keeps these, which must be all that are settled.
	Partitions string
	// OperatorTokenFile has the bearer token of the installation's own
	// operator, at least 16 characters. If it is empty there is no such token,
	// and only declared keys are valid. Every ingest process and keep must have
	// the same token.
	OperatorTokenFile string
	// TakeOver stops the current owner instead of waiting until it ends. It is
	// for a settler that hangs but still answers.
	TakeOver bool
}

// maxPartitions limits what one process settles: more do not make one machine
// faster.
const maxPartitions = 64

// Validate reports all problems together.
func (c Config) Validate() error {
	if c.Shared != nil {
		return c.validateShared()
	}
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("dir: a folder is required"))
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("listen: %w", err))
	}
	if c.NATSListen != "" {
		if _, _, err := net.SplitHostPort(c.NATSListen); err != nil {
			problems = append(problems, fmt.Errorf("nats-listen: %w", err))
		}
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			problems = append(problems, fmt.Errorf("metrics-listen: %w", err))
		}
	}
	if c.Partitions < 0 || c.Partitions > maxPartitions {
		problems = append(problems, fmt.Errorf("partitions: %d is not between 1 and %d", c.Partitions, maxPartitions))
	}
	return errors.Join(problems...)
}

func (c Config) validateShared() error {
	s := c.Shared
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.Role != Ingest && s.Role != Settle && s.Role != Distribute && s.Role != Keep {
		problem("role: %q is not one of ingest, settle, distribute, keep", s.Role)
	}
	if s.NATSURL == "" {
		problem("NATS_URL: the servers of the cluster are required")
	}
	if (s.NATS.CertFile == "") != (s.NATS.KeyFile == "") {
		problem("NATS_CERT_FILE and NATS_KEY_FILE: give both or neither")
	}
	if c.DatabaseURL == "" {
		problem("DATABASE_URL: the database is required")
	} else if _, _, ok := kindOf(c.DatabaseURL); !ok {
		problem("DATABASE_URL: must begin with postgres://, postgresql:// or sqlite:")
	}
	if s.Replicas < 1 || s.Replicas > 5 || s.Replicas%2 == 0 {
		problem("ALIQUOT_REPLICAS: %d is not one of 1, 3, 5", s.Replicas)
	}
	if s.Role != Distribute {
		if _, err := ParsePartitions(s.Partitions); err != nil {
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
	if (s.Role == Settle || s.Role == Keep) && c.Dir == "" {
		problem("ALIQUOT_DIR: a folder is required")
	}
	return errors.Join(problems...)
}

// ParsePartitions reads a list of numbers and ranges, such as "0-3,7".
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
