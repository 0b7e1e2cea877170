package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

const (
	// cosignEvery is the shortest time between two checkpoints of a log that are
	// sent to witnesses.
	cosignEvery = time.Second
	// cosignPatience is how long a witness may take to answer.
	cosignPatience = 10 * time.Second
	// A witness that does not answer is asked again after firstPause. The pause
	// doubles with each attempt, up to lastPause.
	firstPause = time.Second
	lastPause  = time.Minute
	// maxAnswer limits how many bytes of an answer are read.
	maxAnswer = 16 << 10
)

var (
	errAnswer  = errors.New("answered")
	errLarger  = errors.New("the witness has cosigned a larger tree of this log: the log was replaced by an older copy, or it has two histories")
	errAnother = errors.New("the witness has cosigned another tree of this size: the log has two histories")
	errForeign = errors.New("the answer has no valid cosignature of the witness")
)

// courier carries the checkpoints of one log to the witnesses, and their
// cosignatures back into the folder of the log. It changes nothing else, so a
// witness that is away or lies cannot stop anything.
type courier struct {
	log    *tiles.Log
	name   string
	keys   *tlog.Succession
	dir    string
	every  time.Duration
	logger *slog.Logger
	client *http.Client

	asked []*asked
	text  []byte // the checkpoint that is being cosigned, with the log's signature
}

// asked is the state of one witness.
type asked struct {
	tlog.PolicyWitness
	old   uint64 // size of the tree that it cosigned last, as far as is known
	line  []byte // its cosignature of the courier's text; nil if it has not cosigned it yet
	pause time.Duration
	next  time.Time // it is not asked before this time
	said  string    // the last error, so that it is logged once
}

// newCourier returns nil if no witness can be asked.
func newCourier(k *Keeper, s *kept) *courier {
	c := &courier{
		log: s.log, name: LogName(s.stream.Name()), keys: k.keys, dir: LogDir(k.config.Dir, s.stream.Name()),
		every: max(cosignEvery, k.config.Every), logger: k.config.Logger, client: &http.Client{Timeout: cosignPatience},
	}
	if k.config.Every < DefaultEvery {
		c.every = k.config.Every
	}
	for _, w := range k.config.Witnesses {
		if w.URL != "" {
			c.asked = append(c.asked, &asked{PolicyWitness: w})
		}
	}
	if len(c.asked) == 0 {
		return nil
	}
	return c
}

// run asks witnesses until ctx ends.
func (c *courier) run(ctx context.Context) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		if err := c.round(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("collecting cosignatures", "log", c.name, "cause", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// round asks every witness that has not cosigned the published checkpoint once,
// all at the same time, and publishes the cosignatures that come back.
func (c *courier) round(ctx context.Context) error {
	checkpoint, signed, err := c.log.Reader().Checkpoint()
	if err != nil {
		return err
	}
	if !bytes.Equal(signed, c.text) {
		c.text = signed
		for _, w := range c.asked {
			w.line = nil
		}
	}
	var waiting sync.WaitGroup
	before := c.cosigned()
	for _, w := range c.asked {
		if w.line != nil || time.Now().Before(w.next) {
			continue
		}
		waiting.Go(func() { c.ask(ctx, w, checkpoint) })
	}
	waiting.Wait()
	if n := c.cosigned(); n > before {
		return c.publish(n == len(c.asked))
	}
	return nil
}

func (c *courier) cosigned() (n int) {
	for _, w := range c.asked {
		if w.line != nil {
			n++
		}
	}
	return n
}

// publish writes the checkpoint with its cosignatures.
func (c *courier) publish(all bool) error {
	with := bytes.Clone(c.text)
	for _, w := range c.asked {
		with = append(with, w.line...)
	}
	if err := durable.Replace(filepath.Join(c.dir, tiles.CosignedBySome), with, 0o644, nil); err != nil || !all {
		return err
	}
	return durable.Replace(filepath.Join(c.dir, tiles.CosignedByAll), with, 0o644, nil)
}

// ask asks one witness. It stores the cosignature, or when to ask again.
func (c *courier) ask(ctx context.Context, w *asked, checkpoint tlog.Checkpoint) {
	line, err := c.submit(ctx, w, checkpoint)
	if err == nil {
		if w.said != "" {
			c.logger.Info("the witness cosigns again", "witness", w.Name, "log", c.name)
		}
		w.line, w.old, w.pause, w.said = line, checkpoint.Size, 0, ""
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.pause = min(max(2*w.pause, firstPause), lastPause)
	w.next = time.Now().Add(w.pause)
	if text := err.Error(); text != w.said {
		w.said = text
		level := slog.LevelWarn
		if errors.Is(err, errLarger) || errors.Is(err, errAnother) {
			level = slog.LevelError
		}
		c.logger.Log(ctx, level, "no cosignature", "witness", w.Name, "log", c.name, "cause", err)
	}
}

// submit sends the checkpoint, with a proof from the size that the witness
// cosigned last. If the witness answers that its size is another one, submit
// sends a proof from there, once.
func (c *courier) submit(ctx context.Context, w *asked, checkpoint tlog.Checkpoint) ([]byte, error) {
	for again := false; ; again = true {
		path, err := tlog.ConsistencyProof(min(w.old, checkpoint.Size), checkpoint.Size, c.log.Reader().Tile)
		if err != nil {
			return nil, err
		}
		s := tlog.Submission{Old: min(w.old, checkpoint.Size), Path: path, Checkpoint: c.text}
		behind := s.Old < checkpoint.Size
		status, body, err := c.post(ctx, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", s.Marshal())
		if err != nil {
			return nil, err
		}
		switch {
		case status == http.StatusOK:
			return c.verify(w, body)
		case status != http.StatusConflict:
			return nil, fmt.Errorf("%w %d: %.200q", errAnswer, status, body)
		}
		size, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 64)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w %d: %.200q", errAnswer, status, body)
		case size > checkpoint.Size:
			return nil, fmt.Errorf("%w: %d leaves, and the log has %d", errLarger, size, checkpoint.Size)
		case size == s.Old && !behind:
			return nil, errAnother
		case size == s.Old, again:
			return nil, fmt.Errorf("%w %d: %.200q", errAnswer, status, body)
		}
		w.old = size
	}
}

// verify returns the witness's cosignature from an answer.
func (c *courier) verify(w *asked, body []byte) ([]byte, error) {
	signed := append(bytes.Clone(c.text), body...)
	_, opened, _, err := c.keys.Open(signed, c.name, w.Key)
	if err != nil {
		return nil, err
	}
	for _, s := range opened.Sigs {
		if s.Name == w.Key.Name() && s.Hash == w.Key.KeyHash() {
			return fmt.Appendf(nil, "— %s %s\n", s.Name, s.Base64), nil
		}
	}
	return nil, errForeign
}

func (c *courier) post(ctx context.Context, url string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, answer, err
}
