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

// Role is which service a shared process is.
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
	// Dir is the folder; it is created if absent. Embedded, it has everything. Of a
	// shared settler it has what can be rebuilt: the index of events without
	// sequence, which is read again from the streams when it is lost. Of keep it is
	// the folder of the second copy, the signed logs and their key, which cannot be
	// rebuilt.
	Dir string
	// Listen is host:port of the HTTP API, or of the health page where there is no
	// API; port 0 chooses one, see [Process.URL].
	Listen string
	// DatabaseURL names the database that keeps the ledger. Embedded: PostgreSQL or
	// CockroachDB (postgres://…), prepared by `aliquot migrate`; empty: ledger.db in
	// the folder. Shared: one of these, or sqlite:PATH for one file that the
	// processes of one machine share.
	DatabaseURL string
	// MetricsListen is host:port of a listener that answers GET /metrics, and
	// nothing else, without a token; empty: none. Everybody who reaches it sees how much
	// usage there is.
	MetricsListen string
	// Telemetry is what metrics and traces go to; nil: nowhere. The caller closes
	// it, after the process.
	Telemetry *telemetry.Telemetry
	// Witnesses are asked to cosign every checkpoint, those that have a URL. One
	// that is away or slow stops nothing.
	Witnesses []tlog.PolicyWitness
	// Logger is told what operators must know; nil: slog.Default.
	Logger *slog.Logger

	// Shared is what a process needs that has one role among others; nil: every
	// role is embedded in this process. What follows it is for embedded processes.
	Shared *Shared

	// NATSListen is host:port for providers that publish over NATS with an nkey;
	// empty: none.
	NATSListen string
	// ReserveBytes is the free space below which usage is refused; 0 means the
	// event log's default. Too small, and a full disk makes the streams
	// unwritable until a restart.
	ReserveBytes int64
	// Partitions is how many partitions of usage there are, each settled by a loop
	// of its own; 0 means as many as before, 1 in a new folder. It may grow from
	// one start to the next, never shrink: a book stays in its partition.
	Partitions int
	// LazySync acknowledges before the disk has it: only to measure what syncing
	// costs. A power cut then loses accepted usage.
	LazySync bool
	// Unkept leaves out the second copy and the verifiable logs: only to measure
	// what they cost. What JetStream loses then is lost; the next process that
	// keeps them goes on from where they end.
	Unkept bool
	// Patient lets the start wait, and answer /livez and /readyz at Listen, while
	// the disk is full or a command holds the folder. Without it both are errors.
	Patient bool
}

// Shared says which role a process has on a cluster and a database that other
// processes use too.
type Shared struct {
	Role Role
	// NATSURL is one or more servers of the JetStream cluster, separated by
	// commas: name several, or one that is down keeps the process from starting.
	NATSURL string
	// NATS is how this process and the cluster know each other.
	NATS eventlog.Credentials
	// Replicas of each stream: 3 on a cluster; 1 for a single server, whose loss
	// is then the loss of what it had.
	Replicas int
	// Partitions is the partitions of usage, as "0-3" or "0,2,5-7". Ingest
	// accepts for these, all of them as a rule: a book of another is unknown to
	// it. Settle works on these, or waits beside their owner. Keep keeps these:
	// all that are settled.
	Partitions string
	// OperatorTokenFile has the bearer token of the installation's own operator,
	// of at least 16 characters; empty: there is none, and only declared keys are
	// known. The same on every ingest process and on keep.
	OperatorTokenFile string
	// TakeOver does not wait for the owner to go: it is stopped. For a settler
	// that hangs and still answers.
	TakeOver bool
}

// maxPartitions bounds what one process settles: more gain nothing on one machine.
const maxPartitions = 64

// Validate reports every problem at once.
func (c Config) Validate() error {
	if c.Shared != nil {
		return c.validateShared()
	}
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("dir: a folder is needed"))
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
		problem("NATS_URL: the servers of the cluster are needed")
	}
	if (s.NATS.CertFile == "") != (s.NATS.KeyFile == "") {
		problem("NATS_CERT_FILE and NATS_KEY_FILE: give both or neither")
	}
	if c.DatabaseURL == "" {
		problem("DATABASE_URL: the database is needed")
	} else if _, _, ok := kindOf(c.DatabaseURL); !ok {
		problem("DATABASE_URL: begins with none of postgres://, postgresql://, sqlite:")
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
