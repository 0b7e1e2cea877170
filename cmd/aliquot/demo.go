package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aliquot-engine/aliquot/cmd/internal/demo"
	"github.com/aliquot-engine/aliquot/cmd/internal/host"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// demoCommand runs the whole path once on an empty folder, over loopback HTTP:
// a generated day, or a trace with its book and map.
type demoCommand struct {
	Seed      uint64 `help:"Seed of the generated day: equal seeds give equal journals." default:"1"`
	Events    int    `help:"Usage events of the generated day." default:"200000"`
	Nodes     int    `help:"Nodes of the generated day." default:"300"`
	Customers int    `help:"Customers of the generated day." default:"60"`
	Holders   int    `help:"Holders of the generated day." default:"5000"`

	Book     string   `help:"Your own input: declarations (docs/book-format.md)." type:"existingfile" placeholder:"BOOK.yaml"`
	Trace    string   `help:"CSV or JSON Lines file of usage." type:"existingfile" placeholder:"FILE"`
	Map      string   `help:"Map file that says what the columns of the trace are (docs/map-format.md)." type:"existingfile" placeholder:"MAP.yaml"`
	Register string   `help:"CSV file of the token's holders; ten made-up ones by default." type:"existingfile" placeholder:"FILE"`
	Quotes   string   `help:"CSV file of quote rounds, such as a Chainlink export." type:"existingfile" placeholder:"FILE"`
	Holds    string   `help:"Screening list with one holder per line." type:"existingfile" placeholder:"FILE"`
	Shift    string   `help:"Move all times so that the first event starts here (RFC 3339)." placeholder:"TIME"`
	Received string   `help:"With event, the time of receipt of each event is its own last instant; by default the map decides." enum:",event,now" default:"" placeholder:"event"`
	Release  []string `help:"Price waiting usage at this round before closing; needs --as, the person responsible for it." placeholder:"SOURCE#ROUND"`

	Batch    int `help:"Events per request." default:"1000"`
	Restarts int `help:"How often the services are restarted while usage is sent." default:"0"`

	CPUProfile string `help:"Write a CPU profile." name:"cpuprofile" type:"path" placeholder:"FILE"`
}

// Validate is called by the parser.
func (c *demoCommand) Validate() error {
	given := 0
	for _, file := range []string{c.Book, c.Trace, c.Map} {
		if file != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		return errors.New("--book, --trace and --map must be given together")
	}
	for flag, value := range map[string]string{
		"--register": c.Register, "--quotes": c.Quotes, "--holds": c.Holds, "--shift": c.Shift, "--received": c.Received,
	} {
		if value != "" && given == 0 {
			return fmt.Errorf("%s needs --book, --trace and --map", flag)
		}
	}
	if len(c.Release) > 0 && given == 0 {
		return errors.New("--release needs --book, --trace and --map")
	}
	if c.Batch < 1 || c.Batch > packed.MaxEvents {
		return fmt.Errorf("--batch: %d is not between 1 and %d", c.Batch, packed.MaxEvents)
	}
	if c.Restarts < 0 || c.Restarts > 100 {
		return fmt.Errorf("--restarts: %d is not between 0 and 100", c.Restarts)
	}
	return nil
}

// Run plays the demo and prints the result.
func (c *demoCommand) Run(ctx context.Context, r *root) error {
	return profiled(c.CPUProfile, func() error { return c.run(ctx, r) })
}

func (c *demoCommand) run(ctx context.Context, r *root) (err error) {
	st, err := openStage(ctx, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	var result *demoResult
	if c.Book == "" {
		world, err := demo.New(demo.Config{Seed: c.Seed, Events: c.Events, Nodes: c.Nodes, Customers: c.Customers, Holders: c.Holders})
		if err != nil {
			return err
		}
		day := demoDay{stage: st, world: world, command: c}
		if result, err = day.run(ctx); err != nil {
			return err
		}
	} else {
		own := demoOwn{stage: st, command: c}
		if result, err = own.run(ctx); err != nil {
			return err
		}
	}
	if err := result.sumUp(ctx, st); err != nil {
		return err
	}
	result.Seconds = json.Number(seconds(time.Since(st.began)))
	if err := r.print(result, func(w io.Writer) { result.write(w, st) }); err != nil {
		return err
	}
	for _, ok := range result.Checks {
		if !ok {
			return errFalse
		}
	}
	return nil
}

// stage is the running services on which a demo plays.
type stage struct {
	dir      string
	database string // of --database-url; empty: in the folder
	kept     bool   // the folder is not deleted
	daemon   *host.Process
	server   *server
	as       string
	progress *progress
	began    time.Time
}

// openStage starts the services on the folder of --data, which must have no
// ledger, or on a temporary folder. The temporary folder is not deleted, so
// that the user can look around, unless the output is JSON.
func openStage(ctx context.Context, r *root) (*stage, error) {
	st := &stage{dir: r.Data, database: r.DatabaseURL, kept: true, as: r.As, progress: newProgress(r), began: time.Now()}
	usual, err := filepath.Abs("aliquot-data")
	if err != nil {
		return nil, err
	}
	if r.URL != "" {
		return nil, misused("the demo runs its own services: omit --url")
	}
	if r.Data == usual {
		if st.dir, err = os.MkdirTemp("", "aliquot-demo-"); err != nil {
			return nil, err
		}
		st.kept = !r.JSON
	} else if _, err := os.Stat(filepath.Join(r.Data, "ledger.db")); err == nil {
		return nil, fmt.Errorf("%s already holds a ledger: the demo needs an empty folder", r.Data)
	}
	if err := st.open(ctx); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

func (st *stage) open(ctx context.Context) (err error) {
	st.daemon, err = host.Open(ctx, host.Config{Dir: st.dir, DatabaseURL: st.database, Listen: "127.0.0.1:0", Logger: quietLogger()})
	if err != nil {
		return err
	}
	st.server = &server{url: st.daemon.URL(), token: st.daemon.Token(), as: st.as, close: func() error { return nil }}
	return nil
}

// restart stops and starts the services, as an operator would.
func (st *stage) restart(ctx context.Context) error {
	if err := st.daemon.Close(); err != nil {
		return err
	}
	return st.open(ctx)
}

func (st *stage) close() error {
	st.progress.clear()
	var err error
	if st.daemon != nil {
		err = st.daemon.Close()
	}
	if !st.kept {
		err = errors.Join(err, os.RemoveAll(st.dir))
	}
	return err
}

// by returns the API for requests in the name of a person.
func (st *stage) by(name string) *server {
	s := *st.server
	s.as = name
	return &s
}
