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
	Reserve    int64  `help:"Free disk space, in bytes, below which usage is refused with status 507." default:"268435456" env:"ALIQUOT_RESERVE"`
	Metrics    string `help:"Address that answers GET /metrics (Prometheus) without a token, for a scraper inside your network; none by default. GET /metrics of the HTTP API, which providers reach, needs an operator's or auditor's bearer token. Traces and metrics also go to an OTLP collector if OTEL_EXPORTER_OTLP_ENDPOINT names one." env:"ALIQUOT_METRICS_LISTEN" name:"metrics-listen" placeholder:"HOST:PORT"`
	Partitions int    `help:"Partitions of usage, each settled by its own loop. The number may grow, but never shrink; by default it is the number from before, and 1 in a new folder."`
	Witnesses  string `help:"C2SP tlog-policy file with the witnesses that are asked for cosignatures, and their URLs." env:"ALIQUOT_WITNESSES" placeholder:"FILE" type:"existingfile"`
	LazySync   bool   `help:"Acknowledge usage before it is on disk. Only for measuring what syncing costs: a power cut then loses accepted usage." hidden:""`
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

// exportPatience is how long the export of the last telemetry may take.
const exportPatience = 5 * time.Second

// finish exports the last telemetry; a missing collector does not make the
// process fail.
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

// witnesses reads the witnesses that are asked for cosignatures from a file;
// without a file there are none.
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
