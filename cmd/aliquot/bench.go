package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/aliquot-engine/aliquot/cmd/internal/bench"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// benchCommand measures the real path on this machine.
type benchCommand struct {
	Events     int      `help:"Usage events of the fastest variants; slower variants use fewer." default:"5000000"`
	Variant    []string `help:"Only these variants: json, packed, json-ids, packed-ids, json-single, packed-single, json-unkept, packed-unkept, json-lazy, packed-lazy, json-metrics, json-traced, packed-metrics, packed-traced." placeholder:"NAME"`
	Senders    int      `help:"Concurrent requests." default:"16"`
	Partitions int      `help:"Partitions of usage, with a book and a settler each." default:"1"`
	Rounds     int      `help:"How often every variant is measured, in turn; the medians are reported." default:"1"`
	Lazy       bool     `help:"Also measure without syncing, to see what durability costs." name:"lazy-sync"`
	Telemetry  bool     `help:"Also measure with metrics and traces, to see what they cost."`
	Proofs     bool     `help:"Also measure receipts of single events, and a replay of all of them."`
	Latency    bool     `help:"Measure latencies." default:"true" negatable:""`
	Folder     string   `help:"Folder for temporary folders; the system's by default." type:"path" placeholder:"DIR"`
	Markdown   bool     `help:"Print the tables as Markdown."`
	CPUProfile string   `help:"Write a CPU profile of each variant to FILE.VARIANT." name:"cpuprofile" type:"path" placeholder:"FILE"`
	MemProfile string   `help:"Write a profile of memory allocations." name:"memprofile" type:"path" placeholder:"FILE"`
}

// Run measures every variant and prints the figures.
func (b *benchCommand) Run(ctx context.Context, r *root) error {
	p := newProgress(r)
	report, failure := bench.Run(ctx, bench.Config{
		Events: b.Events, Variants: b.Variant, Senders: b.Senders, Partitions: b.Partitions, Rounds: b.Rounds, Lazy: b.Lazy, Telemetry: b.Telemetry,
		DatabaseURL: r.DatabaseURL, Folder: b.Folder, Proofs: b.proofs(), Throughput: !b.Latency, Profile: b.CPUProfile,
		Progress: func(text string) { p.step("%s", text) },
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err := b.allocations(); err != nil {
		return err
	}
	if r.JSON {
		return errors.Join(failure, r.print(report, nil))
	}
	fmt.Println(report.Machine)
	partitions := ""
	if report.Partitions > 1 {
		partitions = fmt.Sprintf(" to %d partitions", report.Partitions)
	}
	fmt.Printf("%d requests at once%s, generator in the same process; from the first request to the last event settled\n\n", report.Senders, partitions)
	var throughput, latency, proofs [][]string
	for i := range report.Variants {
		f := &report.Variants[i]
		throughput = append(throughput, f.Cells())
		if cells := f.LatencyCells(); cells != nil {
			latency = append(latency, cells)
		}
		if cells := f.ProofCells(); cells != nil {
			proofs = append(proofs, cells)
		}
	}
	b.print(bench.Headings, throughput)
	if len(latency) > 0 {
		fmt.Println()
		b.print(bench.LatencyHeadings, latency)
	}
	if len(proofs) > 0 {
		fmt.Println()
		b.print(bench.ProofHeadings, proofs)
	}
	fmt.Println()
	names, cost := report.Kept()
	for i, name := range names {
		fmt.Printf("second copy and logs of %s: %d ns of the CPU an event\n", name, cost[i])
	}
	for _, f := range report.Variants {
		fmt.Printf("%s: %s; %d ns of the CPU go into making the bodies\n", f.Name, f.What, f.Generator)
	}
	return failure
}

// proofs returns a function that verifies receipts as an auditor does, or nil
// if none is wanted.
func (b *benchCommand) proofs() func(dir string) (func([]byte) (string, error), error) {
	if !b.Proofs {
		return nil
	}
	return func(dir string) (func([]byte) (string, error), error) {
		key, err := keeper.ReadPublicKey(dir)
		if err != nil {
			return nil, err
		}
		return func(data []byte) (string, error) {
			verdict, err := receipt.Verify(data, key)
			if err == nil && verdict.Kind != receipt.OfEvent {
				err = fmt.Errorf("the receipt is for a %s", verdict.Kind)
			}
			return verdict.ID, err
		}, nil
	}
}

func (b *benchCommand) print(headings []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if b.Markdown {
		fmt.Printf("| %s |\n|%s\n", strings.Join(headings, " | "), strings.Repeat("---|", len(headings)))
		for _, row := range rows {
			fmt.Printf("| %s |\n", strings.Join(row, " | "))
		}
		return
	}
	t := plain.NewTable(os.Stdout, headings...)
	for _, row := range rows {
		t.Strings(row)
	}
	t.End()
}

func (b *benchCommand) allocations() error {
	if b.MemProfile == "" {
		return nil
	}
	file, err := os.Create(b.MemProfile)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}
