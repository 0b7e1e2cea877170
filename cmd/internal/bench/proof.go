package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"
)

// Proof is the cost of proving one event among all, and of deriving everything
// again.
type Proof struct {
	Receipts int      `json:"receipts"`
	Made     *Latency `json:"made"`        // from the request to the receipt
	MadeCPU  int64    `json:"made_cpu_ns"` // per receipt
	Verified *Latency `json:"verified"`    // with only the receipt and the key
	Longest  int      `json:"longest"`     // receipt, bytes

	Replay    float64 `json:"replay_seconds"`
	ReplayCPU int64   `json:"replay_cpu_ns"`         // per event
	Before    int64   `json:"replay_resident_start"` // bytes
	Peak      int64   `json:"replay_resident_peak"`  // bytes
}

// receipts is how many receipts are made, each of another event.
const receipts = 100

// prove makes receipts of events from the whole run, and replays it.
func (r *run) prove(ctx context.Context, f *Figures) error {
	verify, err := r.config.Proofs(r.dir)
	if err != nil {
		return err
	}
	p := &Proof{Receipts: receipts}
	f.Proof = p
	r.config.Progress(r.variant.Name + ": receipts")
	random := rand.New(rand.NewPCG(seed, seed))
	made, verified := make([]time.Duration, receipts), make([]time.Duration, receipts)
	s := r.senders[0]
	ended, err := r.profile(".receipts")
	if err != nil {
		return err
	}
	for i := range receipts {
		of := r.senders[random.IntN(len(r.senders))]
		for of.sent == 0 {
			of = r.senders[random.IntN(len(r.senders))]
		}
		id := fmt.Sprintf("%s#0/%d", source(of.number), firstSequence+random.Uint64N(of.sent))
		if r.variant.ids {
			id = source(of.number) + "#" + string(appendID(nil, uint64(of.number)<<40|random.Uint64N(of.sent)))
		}
		used, start := cpu(), time.Now()
		if err := s.do(ctx, http.MethodGet, "/v1/receipt?id="+url.QueryEscape(id), "", nil, nil); err != nil {
			return err
		}
		made[i] = time.Since(start)
		p.MadeCPU += int64(cpu()-used) / receipts
		p.Longest = max(p.Longest, s.answer.Len())
		start = time.Now()
		proved, err := verify(s.answer.Bytes())
		verified[i] = time.Since(start)
		if err != nil {
			return err
		}
		if proved != id {
			return fmt.Errorf("the receipt of %s proves %s", id, proved)
		}
	}
	if err := ended(); err != nil {
		return err
	}
	p.Made, p.Verified = quantiles(made), quantiles(verified)

	r.config.Progress(r.variant.Name + ": replay")
	debug.FreeOSMemory()
	p.Before = resident()
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(stop) })
	var result struct {
		Identical bool `json:"identical"`
	}
	profiled, err := r.profile(".replay")
	if err != nil {
		return err
	}
	used, start := cpu(), time.Now()
	err = s.post(ctx, "/v1/replay", "application/json", nil, &result)
	p.Replay, p.ReplayCPU = time.Since(start).Seconds(), int64(cpu()-used)/int64(f.Events)
	close(stop)
	watching.Wait()
	err = errors.Join(err, profiled())
	if err == nil && !result.Identical {
		err = errors.New("replay derived a different ledger")
	}
	return err
}

// watch records the memory until stop is closed.
func (p *Proof) watch(stop <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.Peak = max(p.Peak, resident())
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// ProofHeadings are the headings of [Figures.ProofCells].
var ProofHeadings = []string{
	"variant", "events", "receipt made p50", "p99", "CPU", "verified p50", "p99", "bytes", "settled in", "replayed in", "CPU ns/event", "memory at its start", "peak",
}

// ProofCells formats the cost of proofs; nil if it was not measured.
func (f *Figures) ProofCells() []string {
	p := f.Proof
	if p == nil {
		return nil
	}
	return []string{
		f.Name, thousands(int64(f.Events)), milli(p.Made.P50), milli(p.Made.P99), milli(time.Duration(p.MadeCPU)), milli(p.Verified.P50), milli(p.Verified.P99), thousands(int64(p.Longest)),
		fmt.Sprintf("%.1f s", f.Seconds), fmt.Sprintf("%.1f s", p.Replay), thousands(p.ReplayCPU), mega(p.Before), mega(p.Peak),
	}
}
