package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/receipt/offline"
	"github.com/aliquot-engine/aliquot/services/witness"
)

type witnessCommand struct {
	Watch    witnessRunCommand      `cmd:"" default:"withargs" help:"Cosign checkpoints that logs submit (--listen), that are fetched from them (--log), or both. Exit 1 if a log contradicted itself."`
	Key      witnessKeyCommand      `cmd:"" help:"Show the public key of the witness; the first call makes the key."`
	Evidence witnessEvidenceCommand `cmd:"" help:"List the contradictions that were found; exit 1 if there are any."`
}

type witnessRunCommand struct {
	Dir    string        `help:"The witness's own folder: its key, what it has seen, and evidence." default:"aliquot-witness" env:"ALIQUOT_WITNESS_DIR" type:"path"`
	Key    []string      `required:"" help:"Public key of the logs to watch, or a file with it; once for each installation." placeholder:"KEY"`
	Log    []string      `help:"Address of an aliquot server whose logs are fetched." placeholder:"http://HOST:PORT"`
	Listen string        `help:"Address that accepts submissions (C2SP tlog-witness); none by default." placeholder:"HOST:PORT"`
	Every  time.Duration `help:"How often logs are fetched." default:"10s"`
	Once   bool          `help:"Fetch every log once and end; exit 1 if one could not be cosigned."`
	Name   string        `help:"Name of the witness, if it has no key yet: usually a host name and a path." placeholder:"NAME"`
}

// open opens the witness.
func (c *witnessRunCommand) open() (*witness.Witness, error) {
	config := witness.Config{Dir: c.Dir, Name: c.Name, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	for _, text := range c.Key {
		key, err := offline.Key(text)
		if err != nil {
			return nil, err
		}
		config.Keys = append(config.Keys, key)
	}
	return witness.Open(config)
}

func (c *witnessRunCommand) Run(ctx context.Context, r *root) (err error) {
	if len(c.Log) == 0 && (c.Listen == "" || c.Once) {
		return misused("nothing to watch: name a log with --log, or an address that accepts submissions with --listen")
	}
	if c.Every <= 0 {
		return misused("--every must be positive")
	}
	w, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if c.Once {
		return c.once(ctx, r, w)
	}
	running, ctx := errgroup.WithContext(ctx)
	if c.Listen != "" {
		listener, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return fmt.Errorf("listening for submissions: %w", err)
		}
		server := &http.Server{
			Handler: w.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		}
		running.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving: %w", err)
			}
			return nil
		})
		running.Go(func() error {
			<-ctx.Done()
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return server.Shutdown(stopping)
		})
		fmt.Printf("the witness answers on http://%s, key %s\n", listener.Addr(), w.PublicKey())
	} else {
		fmt.Printf("the witness watches, key %s\n", w.PublicKey())
	}
	for _, url := range c.Log {
		running.Go(func() error {
			_ = w.Puller(url).Run(ctx, c.Every) // It ends with ctx.
			return nil
		})
	}
	if err := running.Wait(); err != nil {
		return err
	}
	if n := w.Alarms(); n > 0 {
		return fmt.Errorf("%d contradictions were found: aliquot witness evidence lists them", n)
	}
	return nil
}

// once fetches every log once.
func (c *witnessRunCommand) once(ctx context.Context, r *root, w *witness.Witness) error {
	type looked struct {
		URL string `json:"url"`
		witness.Pulled
	}
	all := []looked{}
	good := true
	for _, url := range c.Log {
		list, err := w.Puller(url).Pull(ctx)
		if err != nil {
			return err
		}
		for _, one := range list {
			all = append(all, looked{url, one})
			good = good && one.Fault == ""
		}
	}
	err := r.print(all, func(out io.Writer) {
		t := plain.NewTable(out, "LOG", "SIZE", "COSIGNED", "FAULT")
		for _, one := range all {
			t.Row(one.Log, one.Size, one.Seen, one.Fault)
		}
		t.End()
	})
	if err == nil && !good {
		return errFalse
	}
	return err
}

type witnessKeyCommand struct {
	Dir  string `help:"The witness's folder." default:"aliquot-witness" env:"ALIQUOT_WITNESS_DIR" type:"path"`
	Name string `help:"Name of the witness, if it has no key yet." placeholder:"NAME"`
}

func (c *witnessKeyCommand) Run(r *root) error {
	public, err := witness.EnsureKey(c.Dir, c.Name)
	if err != nil {
		return err
	}
	shown := struct {
		Public string `json:"public"`
		File   string `json:"file"`
	}{public, witness.PublicKeyFile(c.Dir)}
	return r.print(shown, func(w io.Writer) { fmt.Fprintln(w, shown.Public) })
}

type witnessEvidenceCommand struct {
	Dir string `help:"The witness's folder." default:"aliquot-witness" env:"ALIQUOT_WITNESS_DIR" type:"path"`
}

func (c *witnessEvidenceCommand) Run(r *root) error {
	list, err := witness.ReadEvidence(c.Dir)
	if err != nil {
		return err
	}
	err = r.print(list, func(w io.Writer) {
		for _, e := range list {
			plain.Fprintf(w, "%s %s: %s\n", e.Time.Format(time.RFC3339), e.Origin, e.Text)
		}
	})
	if err == nil && len(list) > 0 {
		return errFalse
	}
	return err
}
