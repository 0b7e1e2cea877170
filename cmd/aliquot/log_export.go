package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aliquot-engine/aliquot/internal/retry"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
	"github.com/aliquot-engine/aliquot/services/keep/pack"
)

type logExportCommand struct {
	Name string `arg:"" help:"Folder to make, or a file if the name ends in .tar."`
	Bare bool   `help:"Omit the state root: everything signed is packed as it is, and no service has to run."`
}

// signedPatience is how long the logs may take to sign everything that was
// settled.
const signedPatience = time.Minute

func (c *logExportCommand) Run(ctx context.Context, r *root) (err error) {
	if r.URL != "" {
		return misused("log export reads the folder of an installation: omit --url")
	}
	in := pack.Packed{Dir: r.Data, Streams: keeper.Kept(r.Data), Made: time.Now()}
	var close func() error
	if !c.Bare {
		s, err := r.connect(ctx)
		if err != nil {
			return err
		}
		close = s.close
		in.State = &settlement.State{}
		if err := s.call(ctx, http.MethodGet, "/v1/state", nil, in.State); err != nil {
			return errors.Join(err, close())
		}
	}
	manifest, err := c.write(ctx, in)
	if close != nil {
		err = errors.Join(err, close())
	}
	if err != nil {
		return err
	}
	return r.print(manifest, func(w io.Writer) {
		for _, e := range manifest.Streams {
			plain.Fprintf(w, "%s up to %d\n", e.Stream, e.Last)
		}
		if manifest.State != nil {
			plain.Fprintf(w, "state_root %s\n", manifest.State.Root)
		}
		plain.Fprintf(w, "packed into %s\n", c.Name)
	})
}

func (c *logExportCommand) write(ctx context.Context, in pack.Packed) (*pack.Manifest, error) {
	key, err := keeper.Keys(in.Dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(keeper.PublicKeyFile(in.Dir))
	if err != nil {
		return nil, err
	}
	in.Key, in.KeyText = key, string(text)
	if in.State != nil {
		if err := signed(ctx, in.Dir, key, in.State); err != nil {
			return nil, err
		}
	}
	return pack.Write(in, c.Name)
}

// signed waits until the logs have signed everything that a state rests on.
func signed(ctx context.Context, dir string, key keeper.Verifier, s *settlement.State) error {
	want := map[string]uint64{eventlog.ControlStream: s.Distributed, eventlog.LedgerStream: s.Ledger, eventlog.RegisterStream: s.Register}
	for _, p := range s.Partitions {
		want[p.Stream] = p.Usage
		want[eventlog.ControlStream] = max(want[eventlog.ControlStream], p.Control)
	}
	deadline := time.Now().Add(signedPatience)
	for stream, last := range want {
		if last == 0 {
			continue
		}
		err := retry.Until(ctx, 50*time.Millisecond, func() (bool, error) {
			log, err := tiles.OpenReader(keeper.LogDir(dir, stream), key.Origin(keeper.LogName(stream)), key)
			if err != nil {
				return false, err
			}
			c, _, err := log.Checkpoint()
			if err == nil && c.Size < last && time.Now().After(deadline) {
				err = fmt.Errorf("the log of %s has signed up to %d, but %d is settled: is the keeper running?", stream, c.Size, last)
			}
			return c.Size >= last, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
