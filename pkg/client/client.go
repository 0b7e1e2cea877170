// Package client emits usage: it numbers events, puts them into batches, and
// sends each batch until the engine says that it is on disk.
//
// A batch is encoded once, and the same bytes are sent again after every
// temporary failure, so the engine recognises a repeated batch however often the
// network fails. Batches are packed columns, or CloudEvents as JSON.
//
// # Invariants
//
//   - Every event that Send counts as accepted is on the engine's disk.
//   - A repeated attempt sends the same bytes as the first one.
//   - Every event given to Send is in its result, accepted or refused.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Format is how a batch is written.
type Format uint8

// The formats. Packed costs the engine about a third of what JSON costs.
const (
	Packed Format = iota
	JSON
)

// Coding is how a batch is compressed.
type Coding uint8

// The codings. Packed batches are small without compression.
const (
	Plain Coding = iota
	Zstd
	Gzip
)

// Defaults of a [Config].
const (
	DefaultBatch     = 1_000
	DefaultFirstWait = 100 * time.Millisecond
	DefaultLastWait  = 10 * time.Second
	DefaultTimeout   = 60 * time.Second
)

// Config says where and how to send.
type Config struct {
	URL      string          // of the engine, such as "http://127.0.0.1:8320"
	Token    string          // bearer token of a provider's or an operator's key
	Provider events.Provider // the provider of the usage

	Format Format
	Coding Coding
	// Source and Epoch number the events given to Add that have no identity of
	// their own. A client that lost its place in an epoch must begin a new one; 0
	// chooses a new epoch from the clock.
	Source string
	Epoch  uint64
	// Sequence is the number of the first such event.
	Sequence uint64
	// Batch is how many events Add collects before they are sent, at most
	// events.MaxEvents; 0 means DefaultBatch. Each batch costs a request and a
	// disk sync, so small batches are slow.
	Batch int
	// ReceivedFromEvent uses each event's last instant as the time at which it
	// was received, for imports. The book must allow it.
	ReceivedFromEvent bool
	// Wait is how long each answer may wait for the events to be settled, in
	// whole seconds; 0 does not wait.
	Wait time.Duration

	// Patience limits the time spent on one batch; 0 means until the context
	// ends.
	Patience time.Duration
	// FirstWait and LastWait are the shortest and the longest pause between
	// attempts; pauses double.
	FirstWait, LastWait time.Duration
	// HTTP sends the requests; nil means a client whose time-out is
	// DefaultTimeout plus Wait.
	HTTP *http.Client
}

// Result says what became of the events of a batch. The indices of refusals are
// positions in the list given to Send.
type Result struct {
	events.Answer
	Attempts int
}

// ProblemError is the engine's answer when it refuses a whole batch and sending
// the batch again will not help.
type ProblemError struct {
	Status   int              `json:"status"` // of HTTP
	Title    string           `json:"title"`
	Detail   string           `json:"detail"`
	Field    string           `json:"field"`
	Reason   events.Reason    `json:"reason"`
	Refusals []events.Refusal `json:"refusals"`
}

func (e *ProblemError) Error() string {
	text := strconv.Itoa(e.Status) + " " + e.Title
	if e.Field != "" {
		text += ": " + e.Field
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Client sends the usage of one provider. Several goroutines may call Send at
// once, which keeps the engine busy. Add and Flush must be called from one
// goroutine.
type Client struct {
	config   Config
	target   string
	encoders sync.Pool // of *encoder
	zstd     *zstd.Encoder

	batch    []events.Usage
	sequence uint64
}

// New checks a configuration and returns its client.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("preparing client: %w", err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("preparing client: %q is not an http or https URL", config.URL)
	case config.Token == "":
		return nil, errors.New("preparing client: a token is required")
	case config.Provider == "" && config.Format == Packed:
		return nil, errors.New("preparing client: packed usage needs a provider")
	case config.Batch < 0 || config.Batch > packed.MaxEvents:
		return nil, fmt.Errorf("preparing client: a batch of %d is not between 1 and %d", config.Batch, packed.MaxEvents)
	}
	if config.Batch == 0 {
		config.Batch = DefaultBatch
	}
	if config.FirstWait <= 0 {
		config.FirstWait = DefaultFirstWait
	}
	if config.LastWait <= 0 {
		config.LastWait = DefaultLastWait
	}
	if config.Epoch == 0 {
		config.Epoch = uint64(time.Now().UnixNano())
	}
	if config.HTTP == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, Proxy: http.ProxyFromEnvironment}
		config.HTTP = &http.Client{Transport: transport, Timeout: DefaultTimeout + config.Wait}
	}
	c := &Client{config: config, target: base.JoinPath("v1/events").String(), sequence: config.Sequence}
	c.encoders.New = func() any { return new(encoder) }
	if config.Coding == Zstd {
		if c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
			return nil, fmt.Errorf("preparing client: %w", err)
		}
	}
	return c, nil
}

// Add collects an event, numbers it if it has neither id nor sequence, and sends
// the batch once it is full; ok is true if it was sent and result is valid. After
// an error the batch is kept, and the next Add or Flush sends it again.
func (c *Client) Add(ctx context.Context, u events.Usage) (result Result, ok bool, err error) {
	if len(c.batch) >= c.config.Batch { // kept by an earlier error
		if result, err = c.Flush(ctx); err != nil {
			return Result{}, false, err
		}
		ok = true
	}
	if u.ID == "" && !u.Sequenced {
		u.Source, u.Epoch, u.Sequence, u.Sequenced = c.config.Source, c.config.Epoch, c.sequence, true
		c.sequence++
	}
	c.batch = append(c.batch, u)
	if len(c.batch) < c.config.Batch || ok {
		return result, ok, nil
	}
	result, err = c.Flush(ctx)
	return result, err == nil, err
}

// Flush sends the events that Add has collected.
func (c *Client) Flush(ctx context.Context) (Result, error) {
	if len(c.batch) == 0 {
		return Result{}, nil
	}
	result, err := c.Send(ctx, c.batch)
	if err != nil {
		return Result{}, err
	}
	clear(c.batch)
	c.batch = c.batch[:0]
	return result, nil
}

// Next is the sequence that the next event without identity gets from Add.
func (c *Client) Next() uint64 { return c.sequence }

// Send sends events as one batch, at most events.MaxEvents, and returns when
// every good event is on the engine's disk. Events that no batch can hold, such
// as those without a node, are refused here, for the reason that the engine would
// give. An error is a [*ProblemError], or says why patience or ctx ended; the
// same events may then be sent again.
func (c *Client) Send(ctx context.Context, list []events.Usage) (Result, error) {
	e := c.encoders.Get().(*encoder)
	defer c.encoders.Put(e)
	if err := e.encode(&c.config, c.zstd, list); err != nil {
		return Result{}, fmt.Errorf("sending usage: %w", err)
	}
	result := Result{Answer: events.Answer{Handle: []events.Handle{}, Refusals: []events.Refusal{}}}
	if len(e.sent) > 0 {
		var err error
		if result, err = c.retry(ctx, e); err != nil {
			return Result{}, fmt.Errorf("sending usage: %w", err)
		}
	}
	e.merge(&result)
	return result, nil
}

// retry sends a batch until the answer is final.
func (c *Client) retry(ctx context.Context, e *encoder) (Result, error) {
	if c.config.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Patience)
		defer cancel()
	}
	pause := c.config.FirstWait
	var said error // the server's last answer
	for attempt := 1; ; attempt++ {
		answer, after, err := c.post(ctx, e)
		if err == nil {
			return Result{answer, attempt}, nil
		}
		var problem *ProblemError
		switch {
		case !errors.As(err, &problem):
		case !passing(problem.Status):
			return Result{}, err
		default:
			said = err
		}
		// Half of the pause is random, so that many clients do not retry at the
		// same time.
		wait := max(pause/2+rand.N(pause/2+1), after)
		pause = min(2*pause, c.config.LastWait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if said != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = said // It says more than that the last attempt was cut off.
			}
			return Result{}, fmt.Errorf("after %d attempts: %w: %w", attempt, ctx.Err(), err)
		}
	}
}

// passing reports whether a failure is temporary: the same request may succeed
// later.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusInsufficientStorage, http.StatusRequestTimeout:
		return true
	}
	return status >= 500 && status != http.StatusNotImplemented
}

const maxAnswer = 64 << 20 // bytes; 10,000 refusals with long texts are 10 MB

// compress returns body in a coding.
func compress(coding Coding, encoder *zstd.Encoder, body, dst []byte) ([]byte, string, error) {
	switch coding {
	case Zstd:
		return encoder.EncodeAll(body, dst[:0]), "zstd", nil
	case Gzip:
		out := bytes.NewBuffer(dst[:0])
		z := gzip.NewWriter(out)
		if _, err := z.Write(body); err != nil {
			return nil, "", err
		}
		if err := z.Close(); err != nil {
			return nil, "", err
		}
		return out.Bytes(), "gzip", nil
	}
	return body, "", nil
}
