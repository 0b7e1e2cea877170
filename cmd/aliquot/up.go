package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/internal/telemetry"
	"github.com/aliquot-engine/aliquot/pkg/receipt/offline"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

type upCommand struct {
	Listen     string `help:"Address of the HTTP API." default:"127.0.0.1:8080" env:"ALIQUOT_LISTEN"`
	NATSListen string `help:"Address for providers that publish over NATS; none by default." env:"ALIQUOT_NATS_LISTEN" name:"nats-listen"`
	Reserve    int64  `help:"Free bytes kept under the folder: below them usage is refused with 507." default:"268435456" env:"ALIQUOT_RESERVE"`
	Metrics    string `help:"Address that answers GET /metrics (Prometheus) without a token, for a scraper inside your network; none by default. GET /metrics of the HTTP API, which providers reach, needs an operator's or auditor's bearer token. Traces and metrics also go to an OTLP collector where OTEL_EXPORTER_OTLP_ENDPOINT names one." env:"ALIQUOT_METRICS_LISTEN" name:"metrics-listen" placeholder:"HOST:PORT"`
	Partitions int    `help:"Partitions of usage, each settled by a loop of its own: may grow, never shrink. As many as before by default, 1 in a new folder."`
	Witnesses  string `help:"File with the witnesses that are asked for cosignatures: lines of C2SP tlog-policy with their URLs." env:"ALIQUOT_WITNESSES" placeholder:"FILE" type:"existingfile"`
	LazySync   bool   `help:"Acknowledge before the disk has it. Only for measuring what syncing costs: a power cut then loses accepted usage." hidden:""`
	Unkept     bool   `help:"Keep no second copy and no verifiable logs. Only for measuring what they cost." hidden:""`
}

func (c *upCommand) Run(ctx context.Context, r *root) error {
	logger := slog.New(telemetry.Logs(slog.NewTextHandler(os.Stderr, nil)))
	shown, err := telemetry.Start(ctx, telemetry.Config{Service: "aliquot", Version: api.Version, Logger: logger})
	if err != nil {
		return err
	}
	defer finish(shown, logger)
	return c.serve(ctx, r, logger, shown)
}

// exportPatience is how long the last of the telemetry may take to leave.
const exportPatience = 5 * time.Second

// finish exports it; a collector that is gone is no failure of the process.
func finish(shown *telemetry.Telemetry, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), exportPatience)
	defer cancel()
	if err := shown.Close(ctx); err != nil {
		logger.Warn("stopping", "cause", err)
	}
}

func (c *upCommand) serve(ctx context.Context, r *root, logger *slog.Logger, shown *telemetry.Telemetry) error {
	asked, err := witnesses(c.Witnesses)
	if err != nil {
		return err
	}
	d, err := host.Open(ctx, host.Config{
		Dir: r.Data, DatabaseURL: r.DatabaseURL, Listen: c.Listen, NATSListen: c.NATSListen, ReserveBytes: c.Reserve, Partitions: c.Partitions, LazySync: c.LazySync, Unkept: c.Unkept, Logger: logger,
		Witnesses: asked, Telemetry: shown, MetricsListen: c.Metrics, Patient: true,
	})
	if ctx.Err() != nil && err != nil {
		logger.Info("stopping before the start", "cause", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("aliquot answers on %s, folder %s, operator token in %s\n", d.URL(), r.Data, d.TokenFile())
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		return d.Close()
	case err := <-d.Failed():
		return errors.Join(err, d.Close())
	}
}

// witnesses reads who is asked for cosignatures; nobody where no file is named.
func witnesses(file string) ([]tlog.PolicyWitness, error) {
	if file == "" {
		return nil, nil
	}
	policy, err := offline.Policy(file)
	if err != nil {
		return nil, err
	}
	return policy.Witnesses, nil
}
