package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/internal/store/database"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Figures are the measurements of one variant, per event unless stated otherwise.
type Figures struct {
	Variant
	Events    int     `json:"events"`
	Seconds   float64 `json:"seconds"`      // from the first request to the last event settled
	Kept      float64 `json:"kept"`         // seconds, from the first request until everything has its second copy and is signed
	PerSecond int     `json:"per_second"`   // events
	CPU       int64   `json:"cpu_ns"`       // of the process until everything is kept, generator included
	Least     int64   `json:"cpu_ns_least"` // of all rounds
	Most      int64   `json:"cpu_ns_most"`
	Generator int64   `json:"generator_cpu_ns"`
	Messages  uint64  `json:"messages"` // of USAGE
	Postings  float64 `json:"postings"`

	Bytes    Disk     `json:"bytes"`         // all events together
	Peak     int64    `json:"peak_resident"` // bytes
	Resident [4]int64 `json:"resident"`      // bytes, after each quarter of the events

	Proof *Proof `json:"proof,omitempty"`

	Answer  *Latency `json:"answer,omitempty"`  // from a request to its answer, at a fifth of the speed
	Settled *Latency `json:"settled,omitempty"` // from the answer to settled, at a fifth of the speed
	Alone   *Latency `json:"alone,omitempty"`   // from a request to settled, when nothing else is in progress
}

// Latency is the distribution of a duration.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// Report is every figure of a run.
type Report struct {
	Machine    Machine   `json:"machine"`
	Senders    int       `json:"senders"`
	Partitions int       `json:"partitions"`
	Variants   []Figures `json:"variants"`
}

// Kept returns the cost of the second copy and the verifiable logs: for each
// variant that was also measured without them, the difference of the CPU times.
func (r *Report) Kept() (names []string, ns []int64) {
	for _, v := range r.Variants {
		for _, without := range r.Variants {
			if without.Name == v.Name+unkeptSuffix {
				names, ns = append(names, v.Name), append(ns, v.CPU-without.CPU)
			}
		}
	}
	return names, ns
}

// Run measures the variants, one after the other, each on an empty folder, in as
// many rounds as configured. It stops at the first variant whose result is wrong.
func Run(ctx context.Context, config Config) (Report, error) {
	report := Report{Machine: ThisMachine()}
	variants, err := config.chosen()
	if err != nil {
		return report, err
	}
	report.Senders, report.Partitions = config.Senders, config.Partitions
	all := make([][]Figures, len(variants))
	for range config.Rounds {
		for i, v := range variants {
			figures, err := measure(ctx, config, v)
			if err != nil {
				return report, fmt.Errorf("measuring %s: %w", v.Name, err)
			}
			all[i] = append(all[i], figures)
		}
	}
	for _, rounds := range all {
		slices.SortFunc(rounds, func(a, b Figures) int { return cmp.Compare(a.CPU, b.CPU) })
		middle := rounds[len(rounds)/2]
		middle.Least, middle.Most = rounds[0].CPU, rounds[len(rounds)-1].CPU
		report.Variants = append(report.Variants, middle)
	}
	return report, nil
}

// run is one variant being measured.
type run struct {
	config  Config
	variant Variant
	daemon  *host.Process
	senders []*sender
	shapes  [][]shape // by partition
	dir     string
	url     string // of the database; empty means SQLite

	accepted atomic.Int64
	position []atomic.Uint64 // by partition: the last position with usage of this run
	peak     atomic.Int64
}

func measure(ctx context.Context, config Config, v Variant) (f Figures, err error) {
	f.Variant = v
	dir, err := os.MkdirTemp(config.Folder, "aliquot-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &run{config: config, variant: v, dir: filepath.Join(dir, "data"), position: make([]atomic.Uint64, config.Partitions)}
	yesterday := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	for p := range config.Partitions {
		list, err := newShapes(v, p, yesterday)
		if err != nil {
			return f, err
		}
		r.shapes = append(r.shapes, list)
	}
	if config.DatabaseURL != "" {
		var drop func() error
		if r.url, drop, err = ownDatabase(ctx, config.DatabaseURL); err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, drop()) }()
	}
	show, err := newShow(ctx, v, config.Logger)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, show.close()) }()
	if r.daemon, err = host.Open(ctx, host.Config{
		Dir: r.dir, DatabaseURL: r.url, Partitions: config.Partitions, Listen: "127.0.0.1:0", LazySync: v.lazy, Unkept: v.unkept, Telemetry: show.telemetry, Logger: config.Logger,
	}); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.daemon.Close()) }()
	for i := range config.Senders {
		r.senders = append(r.senders, newSender(r, i))
	}
	defer func() {
		for _, s := range r.senders {
			s.client.CloseIdleConnections()
		}
	}()
	config.Progress(v.Name + ": declaring")
	if err := r.declare(ctx); err != nil {
		return f, err
	}
	if err := r.throughput(ctx, &f); err != nil {
		return f, err
	}
	if config.Proofs != nil && !v.unkept {
		if err := r.prove(ctx, &f); err != nil {
			return f, err
		}
	}
	if !config.Throughput {
		if err := r.latency(ctx, &f); err != nil {
			return f, err
		}
	}
	if err := r.daemon.Close(); err != nil {
		return f, err
	}
	return f, r.check(ctx)
}

func (r *run) declare(ctx context.Context) error {
	s := r.senders[0]
	if err := s.post(ctx, "/v1/apply?file=bench.yaml", "application/yaml", []byte(declared(r.config.Partitions)), nil); err != nil {
		return err
	}
	for p := range r.config.Partitions {
		if err := r.declareNames(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) declareNames(ctx context.Context, partition int) error {
	s := r.senders[0]
	var in struct {
		Book      events.Book       `json:"book"`
		Nodes     []events.Node     `json:"nodes"`
		Customers []events.Customer `json:"customers"`
	}
	in.Book = bookName(partition)
	in.Nodes, in.Customers = names(partition, r.variant.single)
	const most = 10_000 // names in a request, which is answered when they are in effect
	for len(in.Nodes)+len(in.Customers) > 0 {
		part := in
		part.Nodes = in.Nodes[:min(most, len(in.Nodes))]
		part.Customers = in.Customers[:min(most, len(in.Customers))]
		in.Nodes, in.Customers = in.Nodes[len(part.Nodes):], in.Customers[len(part.Customers):]
		if err := s.postJSON(ctx, "/v1/names", part); err != nil {
			return err
		}
	}
	return nil
}

// throughput sends everything as fast as it is accepted.
func (r *run) throughput(ctx context.Context, f *Figures) error {
	per := r.variant.perBody()
	bodies := max(r.config.Events/r.variant.part/per, 1)
	f.Events = bodies * per
	f.Generator = r.generator()
	before, err := diskOf(r.dir)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // Memory that the previous variant left behind must not count.
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(stop, f) })

	profiled, err := r.profile("")
	if err != nil {
		return err
	}
	used, start := cpu(), time.Now()
	var next atomic.Int64
	err = r.each(func(s *sender) error {
		for {
			n := int(next.Add(1)) - 1
			if n >= bodies {
				return nil
			}
			if _, err := s.send(ctx, n); err != nil {
				return err
			}
		}
	})
	if err == nil {
		err = r.settled(ctx)
	}
	wall := time.Since(start)
	if err == nil {
		err = r.daemon.WaitKept(ctx)
	}
	kept, spent := time.Since(start), cpu()-used
	close(stop)
	watching.Wait()
	if err = errors.Join(err, profiled()); err != nil {
		return err
	}
	f.Seconds, f.Kept = wall.Seconds(), kept.Seconds()
	f.PerSecond = int(float64(f.Events) / f.Seconds)
	f.CPU = int64(spent) / int64(f.Events)
	f.Peak = r.peak.Load()
	for p := range r.position {
		f.Messages += r.position[p].Load()
	}
	if err := r.daemon.WaitPublished(ctx); err != nil {
		return err
	}
	after, err := diskOf(r.dir)
	if err != nil {
		return err
	}
	f.Bytes = after.less(before)
	return nil
}

// settled waits until everything that was accepted is settled.
func (r *run) settled(ctx context.Context) error {
	for p := range r.position {
		if err := r.daemon.WaitSettled(ctx, p, r.position[p].Load()); err != nil {
			return err
		}
	}
	return nil
}

// profile starts a CPU profile of a part, if one is configured, and returns a
// function that ends it.
func (r *run) profile(part string) (end func() error, err error) {
	if r.config.Profile == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(r.config.Profile + "." + r.variant.Name + part)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// each runs f for every sender at once and returns their errors.
func (r *run) each(f func(*sender) error) error {
	problems := make([]error, len(r.senders))
	var running sync.WaitGroup
	for i, s := range r.senders {
		running.Go(func() { problems[i] = f(s) })
	}
	running.Wait()
	return errors.Join(problems...)
}

// watch records the memory until stop is closed.
func (r *run) watch(stop <-chan struct{}, f *Figures) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	quarter := 1
	for running := true; running; {
		select {
		case <-ticker.C:
		case <-stop:
			running = false
		}
		now, done := resident(), r.accepted.Load()
		if now > r.peak.Load() {
			r.peak.Store(now)
		}
		for ; quarter <= 4 && done >= int64(f.Events)*int64(quarter)/4; quarter++ {
			f.Resident[quarter-1] = now
			r.config.Progress(fmt.Sprintf("%s: %d of %d events accepted", r.variant.Name, done, f.Events))
		}
	}
}

// generator measures the cost of making a body without sending it.
func (r *run) generator() int64 {
	const times = 50
	var dst []byte
	used := cpu()
	for n := range times {
		dst = r.shapes[0][n%shapes].fill(dst, 0, uint64(n)*uint64(r.variant.perBody()), n)
	}
	return int64(cpu()-used) / int64(times*r.variant.perBody())
}

// check opens the database of the run and compares it with what was sent.
func (r *run) check(ctx context.Context) (err error) {
	db, err := database.Open(ctx, r.dir, r.url, r.config.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	want, accepted := money.Amount{}, uint64(0)
	for _, s := range r.senders {
		if want, err = want.Add(s.charged); err != nil {
			return err
		}
	}
	tallies, err := db.Tallies(ctx, "")
	if err != nil {
		return err
	}
	for _, t := range tallies {
		if t.Outcome != events.Accepted {
			return fmt.Errorf("%d events were not accepted: %v %s", t.Events, t.Outcome, t.Reason)
		}
		accepted += t.Events
	}
	if accepted != uint64(r.accepted.Load()) {
		return fmt.Errorf("%d events were settled, but %d were accepted", accepted, r.accepted.Load())
	}
	balances, err := db.Balances(ctx, ledger.OfNode.Prefix())
	if err != nil {
		return err
	}
	earned := money.Amount{}
	for _, b := range balances {
		if earned, err = earned.Add(b.Credit); err != nil {
			return err
		}
	}
	if earned != want {
		return fmt.Errorf("%s was earned, but %s was charged", earned, want)
	}
	return nil
}
