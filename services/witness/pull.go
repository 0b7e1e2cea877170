package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

const (
	indexPath = "/tlog/index.json"
	// maxIndex and maxPulled limit how many bytes of an answer are read.
	maxIndex  = 8 << 20
	maxPulled = 64 << 10
	maxLogs   = 10_000
	// pullPatience is how long one request may take.
	pullPatience = 30 * time.Second
)

var (
	errStatus = errors.New("answered")
	errTiles  = errors.New("its tiles do not hash to its checkpoint")
	errLogs   = errors.New("more logs than an installation can have")
	errHidden = errors.New("no longer listed")
	errCut    = errors.New("the file is longer than it can be")
)

// Puller fetches the logs of one installation and has them cosigned.
type Puller struct {
	witness *Witness
	url     string
	client  *http.Client
	tiles   map[string][]byte // files of the current pull, by path
}

// Puller returns a puller of the logs below an address such as http://HOST:PORT,
// of an installation whose key the witness was given. Only one goroutine may use
// it.
func (w *Witness) Puller(url string) *Puller {
	return &Puller{witness: w, url: strings.TrimSuffix(url, "/"), client: &http.Client{Timeout: pullPatience}}
}

// Pulled is the result for one log.
type Pulled struct {
	Log   string `json:"log"`
	Size  uint64 `json:"size"`            // size that the log publishes
	Seen  uint64 `json:"seen"`            // size that is cosigned now
	Kind  Kind   `json:"kind,omitempty"`  // why it was refused
	Fault string `json:"fault,omitempty"` // in words; without a kind the next pull may succeed
}

// Pull pulls every log once. The error means that the installation could not be
// asked for its logs.
func (p *Puller) Pull(ctx context.Context) ([]Pulled, error) {
	data, err := p.get(ctx, indexPath, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its logs: %w", p.url, err)
	}
	var index tlog.Index
	if err := strict.Decode(data, &index); err != nil {
		return nil, fmt.Errorf("reading the list of logs of %s: %w", p.url, err)
	}
	if len(index.Logs) > maxLogs {
		return nil, fmt.Errorf("reading the list of logs of %s: %w", p.url, errLogs)
	}
	notes := make([][]byte, len(index.Handovers))
	for i := range index.Handovers {
		notes[i] = []byte(index.Handovers[i])
	}
	if err := p.witness.Follow(notes); err != nil {
		return nil, fmt.Errorf("reading the log keys of %s: %w", p.url, err)
	}
	var list []Pulled
	for _, log := range index.Logs {
		one, err := p.pull(ctx, index.Installation, log)
		one.Log = log
		if err != nil {
			one.Fault = err.Error()
			p.witness.config.Logger.Warn("a log was not cosigned", "url", p.url, "log", log, "cause", err)
		}
		list = append(list, one)
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
	}
	for _, name := range p.witness.names(index.Installation) {
		if slices.Contains(index.Logs, name) {
			continue
		}
		seen, err := p.witness.seen(name, index.Installation)
		list = append(list, Pulled{Log: name, Seen: seen, Fault: errors.Join(errHidden, err).Error()})
		p.witness.config.Logger.Error("a log is hidden", "url", p.url, "log", name, "seen", seen)
	}
	return list, nil
}

// Run pulls at every interval until ctx ends.
func (p *Puller) Run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if _, err := p.Pull(ctx); err != nil && ctx.Err() == nil {
			p.witness.config.Logger.Warn("pulling", "cause", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pull pulls one log. It reads what was cosigned last before it asks the log,
// because the log may submit a larger tree itself in the meantime.
func (p *Puller) pull(ctx context.Context, installation, log string) (done Pulled, err error) {
	if !tlog.IsLogName(log) {
		return done, fmt.Errorf("%.80q: %w", log, ErrUnknown)
	}
	before, err := p.witness.seen(log, installation)
	if err != nil {
		return done, err
	}
	signed, err := p.get(ctx, "/tlog/"+log+"/checkpoint", maxPulled)
	if err != nil {
		return done, err
	}
	c, err := p.witness.compare(signed, log)
	if err != nil {
		return done, err
	}
	next, last := c.shown, c.seen
	done.Size, done.Seen = next.Size, last.Size
	switch {
	case next.Size == last.Size && next.Root != last.Root:
		done.Kind = Split
		return done, p.witness.refuse(c, Split)
	case next.Size < before:
		done.Kind = Rollback
		return done, p.witness.refuse(c, Rollback)
	case next.Size < last.Size, next.Size == last.Size && next.Size > 0:
		return done, nil // This tree, or a larger one, is already cosigned.
	}
	p.tiles = map[string][]byte{}
	read := func(level, index uint64, width int) ([]byte, error) { return p.tile(ctx, log, level, index, width) }
	root, err := tlog.RootOf(next.Size, read)
	if err != nil {
		return done, err
	}
	if root != next.Root {
		return done, errTiles
	}
	if c.path, err = tlog.ConsistencyProof(last.Size, next.Size, read); err != nil {
		return done, err
	}
	if tlog.VerifyConsistency(last.Size, next.Size, c.path, last.Root, next.Root) != nil {
		done.Kind = Forked
		return done, p.witness.refuse(c, Forked)
	}
	if _, err := p.witness.Add(&tlog.Submission{Old: last.Size, Path: c.path, Checkpoint: signed}); err != nil {
		return done, err
	}
	done.Seen = next.Size
	return done, nil
}

// refuse keeps evidence of what a puller found.
func (w *Witness) refuse(c *contradiction, kind Kind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.seenNote != nil {
		w.keep(c, kind)
	}
	return fmt.Errorf("%s: seen %d leaves with root %s, shown %d leaves with root %s", kind, c.seen.Size, c.seen.Root, c.shown.Size, c.shown.Root)
}

// seen returns the size of the tree that was cosigned last.
func (w *Witness) seen(log, installation string) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.logs {
		if of.keys.Installation() == installation {
			c, _, err := w.last(of, log)
			return c.Size, err
		}
	}
	return 0, fmt.Errorf("%.200q: %w", installation, ErrUnknown)
}

// names lists the logs of an installation that were ever cosigned.
func (w *Witness) names(installation string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.logs {
		if of.keys.Installation() == installation {
			names, err := w.remembered(of)
			if err != nil {
				w.config.Logger.Error("listing what was cosigned", "cause", err)
			}
			return names
		}
	}
	return nil
}

// compare opens a checkpoint of a log together with the one cosigned last.
func (w *Witness) compare(signed []byte, log string) (*contradiction, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.look(signed)
	if err == nil && c.log != log {
		err = fmt.Errorf("%.200q: %w", c.origin, ErrUnknown)
	}
	return c, err
}

// tile is a tlog.TileReader. The full tile may have replaced a partial one since
// the checkpoint was published.
func (p *Puller) tile(ctx context.Context, log string, level, index uint64, width int) ([]byte, error) {
	var first error
	for _, w := range []int{width, tlog.TileWidth} {
		path := "/tlog/" + log + "/" + tiles.TilePath(level, index, w)
		if data, ok := p.tiles[path]; ok {
			return data, nil
		}
		data, err := p.get(ctx, path, maxPulled)
		if err == nil {
			p.tiles[path] = data
			return data, nil
		}
		if first == nil {
			first = err
		}
		if w == tlog.TileWidth || ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// get reads one file of the installation.
func (p *Puller) get(ctx context.Context, path string, most int64) (data []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %w %s", path, errStatus, response.Status)
	}
	data, err = io.ReadAll(io.LimitReader(response.Body, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: %w", path, errCut)
	}
	return data, err
}
