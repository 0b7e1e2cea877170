package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aliquot-engine/aliquot/internal/daemon"
)

type upCommand struct {
	Listen     string `help:"Address of the HTTP API." default:"127.0.0.1:8080" env:"ALIQUOT_LISTEN"`
	NATSListen string `help:"Address for providers that publish over NATS; none by default." env:"ALIQUOT_NATS_LISTEN" name:"nats-listen"`
	Reserve    int64  `help:"Free bytes kept under the folder: below them usage is refused with 507." default:"268435456" env:"ALIQUOT_RESERVE"`
	Partitions int    `help:"Partitions of usage, each settled by a loop of its own: may grow, never shrink. As many as before by default, 1 in a new folder."`
	LazySync   bool   `help:"Acknowledge before the disk has it. Only for measuring what syncing costs: a power cut then loses accepted usage." hidden:""`
	Unkept     bool   `help:"Keep no second copy and no verifiable logs. Only for measuring what they cost." hidden:""`
}

func (c *upCommand) Run(ctx context.Context, r *root) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	d, err := daemon.Open(ctx, daemon.Config{
		Dir: r.Data, DatabaseURL: r.DatabaseURL, Listen: c.Listen, NATSListen: c.NATSListen, ReserveBytes: c.Reserve, Partitions: c.Partitions, LazySync: c.LazySync, Unkept: c.Unkept, Logger: logger,
	})
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
