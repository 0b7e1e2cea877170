package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Config says what to measure. A field that is zero takes its default.
type Config struct {
	// Events is the number of events of the fastest variants; the others use
	// fewer, see [Variant]. At least 100,000; the default is 5,000,000. With
	// too few events the figures mostly describe the start.
	Events int
	// Variants are names of variants; empty means all.
	Variants []string
	// Senders is the number of concurrent requests; the default is 16. With
	// fewer senders than the engine needs to fill its messages, every request
	// waits for the disk.
	Senders int
	// Rounds is how often every variant is measured, in turn with the others; the
	// default is 1. The report has the round with the median CPU time, the higher
	// one of two. On a machine that does other work too, one round says little.
	Rounds int
	// Lazy adds the variants that do not sync.
	Lazy bool
	// DatabaseURL names a PostgreSQL or CockroachDB server that stores the ledger
	// instead of SQLite. Each variant gets a database of its own, which is
	// dropped afterwards. Empty means SQLite.
	DatabaseURL string
	// Telemetry adds the variants with metrics and traces.
	Telemetry bool
	// Partitions is the number of partitions, each with a book and a settler;
	// the default is 1. More partitions than cores do not make one machine
	// faster.
	Partitions int
	// Folder is where temporary folders are made; empty means the system's
	// default.
	Folder string
	// Proofs, unless nil, adds receipts of single events and a replay of all of
	// them. It is called with the folder of an installation and returns a
	// function that verifies a receipt and says which event it proves.
	Proofs func(dir string) (verify func(receipt []byte) (id string, err error), err error)
	// Throughput omits the latencies.
	Throughput bool

	// Profile is the file for a CPU profile of each variant's measured part, with
	// the variant's name added, and of its receipts and its replay, with that
	// word added; empty means none.
	Profile string

	Progress func(text string) // receives what is being done; nil is allowed
	Logger   *slog.Logger      // for the engine
}

// Variant is one way of sending usage.
type Variant struct {
	Name   string `json:"name"`
	What   string `json:"what"`
	packed bool
	ids    bool // without sequences
	single bool // every event has a node and a customer of its own
	lazy   bool
	unkept bool // no second copy and no verifiable logs
	shown  int  // what telemetry shows
	part   int  // divisor of Config.Events
}

// What a variant's telemetry shows.
const (
	hidden   = iota // nothing
	paged           // metrics, read every second
	exported        // the same, and metrics and the trace of every request are exported to a collector in the process
)

// perBody is how many events a request has: 1,000 as JSON, and as many as a
// segment may have if they are packed.
func (v Variant) perBody() int {
	if v.packed {
		return 10_000
	}
	return 1_000
}

// Variants returns every variant, in the order in which they are measured.
func Variants() []Variant {
	list := []Variant{
		{Name: "json", What: "CloudEvents JSON over HTTP, 1,000 per request, sequenced", part: 1},
		{Name: "packed", What: "packed over HTTP, 10,000 per request, sequenced", packed: true, part: 1},
		{Name: "json-ids", What: "as json, ids instead of sequences", ids: true, part: 4},
		{Name: "packed-ids", What: "as packed, ids instead of sequences", packed: true, ids: true, part: 4},
		{Name: "json-single", What: "as json, every event its own customer and node", single: true, part: 10},
		{Name: "packed-single", What: "as packed, every event its own customer and node", packed: true, single: true, part: 10},
	}
	for _, v := range list[:2] {
		v.Name, v.What, v.unkept = v.Name+unkeptSuffix, "as "+v.Name+", without second copy and logs", true
		list = append(list, v)
	}
	for _, v := range list[:2] {
		v.Name, v.What, v.lazy = v.Name+"-lazy", "as "+v.Name+", not synced", true
		list = append(list, v)
	}
	for _, v := range list[:2] {
		name := v.Name
		v.Name, v.What, v.shown = name+"-metrics", "as "+name+", with metrics, read every second", paged
		list = append(list, v)
		v.Name, v.What, v.shown = name+"-traced", "as "+name+", with metrics and every request traced, to a collector in the process", exported
		list = append(list, v)
	}
	return list
}

const unkeptSuffix = "-unkept"

const (
	leastEvents = 10_000
	mostEvents  = 2_000_000_000
	mostSenders = 256
	// mostPartitions is the number of partitions for which sources and node
	// numbers have room.
	mostPartitions = 8
	mostRounds     = 101
)

// chosen checks the configuration, and reports all problems together.
func (c *Config) chosen() ([]Variant, error) {
	var problems []error
	if c.Events == 0 {
		c.Events = 5_000_000
	}
	if c.Senders == 0 {
		c.Senders = 16
	}
	if c.Rounds == 0 {
		c.Rounds = 1
	}
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	if c.Partitions < 1 || c.Partitions > mostPartitions {
		problems = append(problems, fmt.Errorf("partitions: %d is not between 1 and %d", c.Partitions, mostPartitions))
	}
	if c.Rounds < 1 || c.Rounds > mostRounds {
		problems = append(problems, fmt.Errorf("rounds: %d is not between 1 and %d", c.Rounds, mostRounds))
	}
	if c.Events < leastEvents || c.Events > mostEvents {
		problems = append(problems, fmt.Errorf("events: %d is not between %d and %d", c.Events, leastEvents, mostEvents))
	}
	if c.Senders < 1 || c.Senders > mostSenders {
		problems = append(problems, fmt.Errorf("senders: %d is not between 1 and %d", c.Senders, mostSenders))
	} else if c.Senders < c.Partitions {
		problems = append(problems, fmt.Errorf("senders: %d are too few for %d partitions, each of which needs one", c.Senders, c.Partitions))
	}
	var list []Variant
	var names []string
	for _, v := range Variants() {
		names = append(names, v.Name)
		if len(c.Variants) == 0 && (c.Lazy || !v.lazy) && (c.Telemetry || v.shown == hidden) || slices.Contains(c.Variants, v.Name) {
			list = append(list, v)
		}
	}
	for _, name := range c.Variants {
		if !slices.Contains(names, name) {
			problems = append(problems, fmt.Errorf("variant: %q is not one of %s", name, strings.Join(names, ", ")))
		}
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return list, errors.Join(problems...)
}
