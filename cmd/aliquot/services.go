package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aliquot-engine/aliquot/cmd/internal/api"
	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/telemetry"
)

// serviceFlags are the flags of every service that runs as its own process.
type serviceFlags struct {
	NATS     string `help:"Servers of the JetStream cluster, separated by commas." env:"NATS_URL" name:"nats-url" placeholder:"tls://HOST:4222,…"`
	NATSCA   string `help:"PEM file of the authorities that sign the servers' certificates." env:"NATS_CA_FILE" name:"nats-ca-file" type:"path"`
	NATSCert string `help:"PEM file of this process's own certificate, if the servers ask for one." env:"NATS_CERT_FILE" name:"nats-cert-file" type:"path"`
	NATSKey  string `help:"PEM file of the key of that certificate." env:"NATS_KEY_FILE" name:"nats-key-file" type:"path"`
	NKey     string `help:"File with the seed of this process's user nkey." env:"NATS_NKEY_FILE" name:"nats-nkey-file" type:"path"`
	Replicas int    `help:"Replicas of each stream." default:"3" env:"ALIQUOT_REPLICAS"`
	Metrics  string `help:"Address that answers GET /metrics (Prometheus) without a token, for a scraper inside your network; none by default. Settle and distribute also answer it beside /readyz; ingest and keep, whose API providers reach, answer it to an operator's or auditor's bearer token. Traces and metrics go to an OTLP collector if OTEL_EXPORTER_OTLP_ENDPOINT names one." env:"ALIQUOT_METRICS_LISTEN" name:"metrics-listen" placeholder:"HOST:PORT"`
	Listen   string `help:"HTTP address: for the API of ingest and keep, for the health page of the others." default:"127.0.0.1:8080" env:"ALIQUOT_LISTEN"`
}

func (f serviceFlags) config(r *root, role host.Role) host.Config {
	return host.Config{
		DatabaseURL: r.DatabaseURL, Listen: f.Listen, Dir: r.Data,
		MetricsListen: f.Metrics, Logger: slog.New(telemetry.Logs(slog.NewTextHandler(os.Stderr, nil))),
		Shared: &host.Shared{
			Role: role, NATSURL: f.NATS, Replicas: f.Replicas,
			NATS: eventlog.Credentials{CAFile: f.NATSCA, CertFile: f.NATSCert, KeyFile: f.NATSKey, NKeyFile: f.NKey},
		},
	}
}

type ingestCommand struct {
	serviceFlags
	Partitions string `help:"Partitions to accept usage for: all that exist, such as 0-3." default:"0" env:"ALIQUOT_PARTITIONS"`
	Operator   string `help:"File with the bearer token of the installation's own operator; the same for every ingest process." env:"ALIQUOT_OPERATOR_TOKEN_FILE" name:"operator-token-file" type:"path"`
}

func (c *ingestCommand) Run(ctx context.Context, r *root) error {
	config := c.config(r, host.Ingest)
	config.Shared.Partitions, config.Shared.OperatorTokenFile = c.Partitions, c.Operator
	return serve(ctx, config)
}

type settleCommand struct {
	serviceFlags
	Partitions string `help:"Partitions to settle, or to stand by for, such as 0-3 or 0,2." default:"0" env:"ALIQUOT_PARTITIONS"`
	TakeOver   bool   `help:"Stop the current owner instead of waiting until it ends." name:"take-over"`
}

func (c *settleCommand) Run(ctx context.Context, r *root) error {
	config := c.config(r, host.Settle)
	config.Shared.Partitions, config.Shared.TakeOver = c.Partitions, c.TakeOver
	return serve(ctx, config)
}

type distributeCommand struct {
	serviceFlags
	TakeOver bool `help:"Stop the current owner instead of waiting until it ends." name:"take-over"`
}

func (c *distributeCommand) Run(ctx context.Context, r *root) error {
	config := c.config(r, host.Distribute)
	config.Shared.TakeOver = c.TakeOver
	return serve(ctx, config)
}

type keepCommand struct {
	serviceFlags
	Partitions string `help:"Partitions whose usage is kept: all that exist, such as 0-3." default:"0" env:"ALIQUOT_PARTITIONS"`
	Operator   string `help:"File with the bearer token of the installation's own operator; the same as for ingest." env:"ALIQUOT_OPERATOR_TOKEN_FILE" name:"operator-token-file" type:"path"`
	Witnesses  string `help:"C2SP tlog-policy file with the witnesses that are asked for cosignatures, and their URLs." env:"ALIQUOT_WITNESSES" placeholder:"FILE" type:"existingfile"`
}

func (c *keepCommand) Run(ctx context.Context, r *root) (err error) {
	config := c.config(r, host.Keep)
	config.Shared.Partitions, config.Shared.OperatorTokenFile = c.Partitions, c.Operator
	if config.Witnesses, err = witnesses(c.Witnesses); err != nil {
		return err
	}
	return serve(ctx, config)
}

// serve runs one service until it is told to stop, or until it fails.
func serve(ctx context.Context, config host.Config) error {
	shown, err := telemetry.Start(ctx, telemetry.Config{Service: "aliquot-" + string(config.Shared.Role), Version: api.Version, Logger: config.Logger})
	if err != nil {
		return err
	}
	defer finish(shown, config.Logger)
	config.Telemetry = shown
	p, err := host.Open(ctx, config)
	if err != nil {
		return err
	}
	fmt.Printf("aliquot %s answers on %s\n", config.Shared.Role, p.URL())
	select {
	case <-ctx.Done():
		config.Logger.Info("stopping")
		return p.Close()
	case err := <-p.Failed():
		return errors.Join(err, p.Close())
	}
}
