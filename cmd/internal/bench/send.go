package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// sender is one source of usage, with a connection of its own.
type sender struct {
	run       *run
	number    int
	partition int // of the book for which it reports
	client    *http.Client
	body      []byte
	answer    bytes.Buffer
	sent      uint64 // events
	charged   money.Amount
}

func newSender(r *run, number int) *sender {
	return &sender{run: r, number: number, partition: number % r.config.Partitions, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 1, DisableCompression: true, WriteBufferSize: 64 << 10,
	}}}
}

// busy is the pause after an answer that asks to try again.
const busy = 20 * time.Millisecond

// send sends body number n and returns the position of its last event.
func (s *sender) send(ctx context.Context, n int) (position uint64, err error) {
	shape := &s.run.shapes[s.partition][n%shapes]
	s.body = shape.fill(s.body, s.number, s.sent, n)
	media := "application/cloudevents-batch+json"
	if s.run.variant.packed {
		media = "application/vnd.aliquot.packed"
	}
	var answer events.Answer
	if err := s.post(ctx, "/v1/events", media, s.body, &answer); err != nil {
		return 0, err
	}
	if answer.Accepted != shape.n || answer.Refused > 0 || len(answer.Handle) == 0 {
		return 0, fmt.Errorf("%d of %d events were accepted: %+v", answer.Accepted, shape.n, answer.Refusals[:min(1, len(answer.Refusals))])
	}
	s.sent += uint64(shape.n)
	if s.charged, err = s.charged.Add(shape.charge); err != nil {
		return 0, err
	}
	s.run.accepted.Add(int64(shape.n))
	position = answer.Handle[len(answer.Handle)-1].Position
	for {
		at := &s.run.position[s.partition]
		last := at.Load()
		if position <= last || at.CompareAndSwap(last, position) {
			return position, nil
		}
	}
}

func (s *sender) postJSON(ctx context.Context, path string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.post(ctx, path, "application/json", body, nil)
}

// post posts a body.
func (s *sender) post(ctx context.Context, path, media string, body []byte, into any) error {
	return s.do(ctx, http.MethodPost, path, media, body, into)
}

// do sends a request until it is accepted, and reads its answer.
func (s *sender) do(ctx context.Context, method, path, media string, body []byte, into any) error {
	for {
		request, err := http.NewRequestWithContext(ctx, method, s.run.daemon.URL()+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header["Authorization"] = []string{"Bearer " + s.run.daemon.Token()}
		request.Header["Aliquot-Provider"] = []string{provider}
		request.Header["Content-Type"] = []string{media}
		response, err := s.client.Do(request)
		if err != nil {
			return err
		}
		s.answer.Reset()
		_, err = io.Copy(&s.answer, response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil:
			return err
		case response.StatusCode == http.StatusServiceUnavailable:
			time.Sleep(busy)
			continue
		case response.StatusCode >= 300:
			return fmt.Errorf("%s: %s: %.500s", path, response.Status, s.answer.Bytes())
		case into == nil:
			return nil
		}
		return json.Unmarshal(s.answer.Bytes(), into)
	}
}

const (
	load      = 5 // latency is measured at this fraction of the maximum rate
	pacedFor  = 10 * time.Second
	aloneRuns = 20
)

// latency sends at a steady rate, well below the maximum, and records how long
// each request takes; then it sends a few requests with nothing else in progress.
func (r *run) latency(ctx context.Context, f *Figures) error {
	r.config.Progress(r.variant.Name + ": latency")
	pace := time.Duration(float64(time.Second) * float64(r.variant.perBody()) * load / float64(f.PerSecond))
	count := max(int(pacedFor/pace), 1)
	answer, settled := make([]time.Duration, count), make([]time.Duration, count)
	base := f.Events / r.variant.perBody()
	var next atomic.Int64
	var waiting sync.WaitGroup
	failed := make(chan error, count)
	start := time.Now()
	err := r.each(func(s *sender) error {
		for {
			n := int(next.Add(1)) - 1
			if n >= count {
				return nil
			}
			// Each request has its own due time, however slow the requests before
			// it were.
			due := start.Add(time.Duration(n) * pace)
			time.Sleep(time.Until(due))
			position, err := s.send(ctx, base+n)
			if err != nil {
				return err
			}
			accepted := time.Now()
			answer[n] = accepted.Sub(due)
			waiting.Go(func() {
				if err := r.daemon.WaitSettled(ctx, s.partition, position); err != nil {
					failed <- err
				}
				settled[n] = time.Since(accepted)
			})
		}
	})
	waiting.Wait()
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
	}
	f.Answer, f.Settled = quantiles(answer), quantiles(settled)

	alone := make([]time.Duration, aloneRuns)
	for n := range alone {
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		position, err := r.senders[0].send(ctx, base+count+n)
		if err != nil {
			return err
		}
		if err := r.daemon.WaitSettled(ctx, 0, position); err != nil {
			return err
		}
		alone[n] = time.Since(began)
	}
	f.Alone = quantiles(alone)
	return nil
}

func quantiles(list []time.Duration) *Latency {
	slices.Sort(list)
	at := func(percent int) time.Duration { return list[min(len(list)*percent/100, len(list)-1)] }
	return &Latency{P50: at(50), P99: at(99), Max: list[len(list)-1]}
}
