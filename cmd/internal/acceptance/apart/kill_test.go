package apart

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/client"
	"github.com/aliquot-engine/aliquot/pkg/events"
)

// backWithin is how soon there must be service again after a kill, on a machine that
// has time for it; see [slowed].
const backWithin = 30 * time.Second

// slowed is a time on this machine as busy as it is now: so much longer as a thread
// waits for its turn to compute. Elections and restarts take their time in CPU, and
// other processes beside the test are not the product's fault.
func slowed(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	computed := func() time.Duration {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &used); err != nil {
			t.Fatal(err)
		}
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	const enough = 200 * time.Millisecond
	began, before := time.Now(), computed()
	for computed()-before < enough {
		for range 100_000 {
			busy.Add(1)
		}
	}
	return d * max(1, time.Since(began)/enough)
}

// busy is what slowed computes.
var busy atomic.Uint64

// "The services, three NATS nodes and PostgreSQL as real processes: while
// 500,000 events are sent, each NATS node, the database and each service is
// killed with -9 in turn: no accepted event lost, none counted twice, check and
// replay clean, service again within 30 s of each kill."
//
// Fails when ingest answers before a majority has a message, when a settler
// commits apart from its cursor, when a reader skips what a new leader has, and
// when a loop ends rather than wait for a database that is gone.
//
// It is not parallel: other tests beside it would use up the time.
func TestEveryProcessIsKilledUnderLoad(t *testing.T) {
	// Enough to be under load at every kill; task apart sends the 500,000.
	total := 160_000
	if said := os.Getenv("ALIQUOT_APART_EVENTS"); said != "" {
		var err error
		if total, err = strconv.Atoi(said); err != nil {
			t.Fatal(err)
		}
	}
	i := install(t)
	settle, distribute := i.start("settle"), i.start("distribute")
	ingest := i.up("ingest")
	keep := i.upIn("kept", "keep")
	i.declare()
	var senders []*sender
	for n, format := range []client.Format{client.Packed, client.Packed, client.JSON, client.JSON} {
		s := newSender(t, i, fmt.Sprintf("/source/%d", n), format)
		s.pause = 200 * time.Millisecond // so that the last batch follows the kill
		senders = append(senders, s)
	}

	kills := []struct {
		what        string
		kill, again func()
	}{}
	add := func(what string, kill, again func()) {
		kills = append(kills, struct {
			what        string
			kill, again func()
		}{what, kill, again})
	}
	for n := range 3 {
		add(fmt.Sprint("NATS node ", n), func() { i.cluster.Kill(n) }, func() { i.cluster.Restart(t, n); i.cluster.WaitLeader(t) })
	}
	add("the database", func() { i.postgres.Kill(); time.Sleep(2 * time.Second); i.postgres.Begin(t) }, func() {})
	for _, s := range []*service{ingest, settle, distribute, keep} {
		add("aliquot "+s.arguments[0], func() { s.kill(); s.restart() }, func() {})
	}
	rand.Shuffle(len(kills), func(a, b int) { kills[a], kills[b] = kills[b], kills[a] })

	batches := total / 1000 / len(senders) / len(kills)
	for n, k := range kills {
		share := batches
		if n == len(kills)-1 {
			share = total/1000/len(senders) - n*batches
		}
		sendAll(t, senders, share, func() {
			time.Sleep(time.Duration(300+rand.IntN(500)) * time.Millisecond) // any moment
			limit := slowed(t, backWithin)
			began := time.Now()
			k.kill()
			// Back is: a decision takes effect in both partitions and in distribution,
			// and usage is accepted and settled.
			i.eventually("a decision after "+k.what+" was killed", limit, func(ctx context.Context) error {
				return i.deposit(ctx, fmt.Sprint("kill ", n))
			})
			i.eventually("usage after "+k.what+" was killed", limit, i.settles)
			took := time.Since(began)
			if took > limit {
				t.Errorf("%s was killed: service again after %v, not within %v", k.what, took, limit)
			}
			t.Logf("%s was killed: service again after %v, of %v", k.what, took.Round(10*time.Millisecond), limit)
			k.again()
		})
	}
	have := i.exact(senders, 1)
	t.Logf("%d events settled, %d duplicates of what was sent again", have.accepted[0]+have.accepted[1], have.duplicate[0]+have.duplicate[1])
	i.clean()
	for n := range books {
		i.ask("POST", "/v1/deposits/outstanding", asJSON, fmt.Sprintf(`{"book":%q,"reference":"all"}`, book(n)), nil)
		i.ask("POST", "/v1/periods/close", asJSON, fmt.Sprintf(`{"book":%q,"period":%q}`, book(n), period), nil)
		var made struct{ Revenue string }
		i.ask("POST", "/v1/distributions", asJSON, fmt.Sprintf(`{"token":"T%d","period":%q}`, n, period), &made)
		if want := have.accepted[n] + have.late[n]; made.Revenue != fmt.Sprint(want) {
			t.Errorf("%s: %s distributed, %d earned", book(n), made.Revenue, want)
		}
	}
	i.clean()
	// What was away meanwhile was waited for: everything is kept and proved.
	keep.ready()
	for _, s := range senders {
		keep.proves(filepath.Join(i.dir, "kept", "keys", "log.pub"), "receipt.json", fmt.Sprintf("%s#%d", s.name, s.next))
	}
	for _, s := range []*service{ingest, settle, distribute, keep} {
		s.stop()
	}
}

// settles sends one event without sequence, always the same, and wants to hear
// its outcome: counted or known already.
func (i *installation) settles(ctx context.Context) error {
	end := day.Add(time.Hour)
	body := fmt.Appendf(nil, `[{"specversion":"1.0","type":"aliquot.usage","source":"/probe","id":"probe","data":{"node":"n0","customer":"c0","meter":"unit","quantity":"1","start":%q,"end":%q}}]`,
		end.Add(-time.Second).Format(time.RFC3339), end.Format(time.RFC3339))
	status, answer, err := i.do(ctx, "POST", "/v1/events?wait=20", "application/cloudevents-batch+json", body)
	if err != nil {
		return err
	}
	var a events.Answer
	if err := json.Unmarshal(answer, &a); err != nil || a.Outcomes == nil || !a.Outcomes.Settled {
		return fmt.Errorf("%d %s", status, tail(string(answer)))
	}
	return nil
}
