package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// A series is what Prometheus has scraped once a minute for two hours, in the
// notation of Prometheus' own tests: first value, step and number of steps.
const here = `job="aliquot", instance="a:9464"`

// occasions are, for each alert, series at whose end the alert is true, and
// series at whose end it is not.
var occasions = map[string]struct{ fires, silent string }{
	"AliquotAcceptFailing": {
		series("aliquot_ingest_submissions_total", `outcome="accepted"`, "0+60x120") + series("aliquot_ingest_submissions_total", `outcome="full"`, "0+2x120"),
		series("aliquot_ingest_submissions_total", `outcome="accepted"`, "0+600x120") + series("aliquot_ingest_submissions_total", `outcome="refused"`, "0+90x120") + series("aliquot_ingest_submissions_total", `outcome="overloaded"`, "5+0x120"),
	},
	"AliquotStreamsUnhealthy": {series("aliquot_streams_healthy", "", "0+0x120"), series("aliquot_streams_healthy", "", "1+0x120")},
	"AliquotDiskReserveNear": {
		series("aliquot_disk_free_bytes", "", "30000000000-100000000x120") + series("aliquot_disk_reserve_bytes", "", "268435456+0x120"),
		series("aliquot_disk_free_bytes", "", "30000000000-1000000x120") + series("aliquot_disk_reserve_bytes", "", "268435456+0x120"),
	},
	"AliquotRefusedShareHigh": {
		share("0+60x120", "0+4x120", "0+0x120"),
		share("0+6000x120", "0+10x120", "0+10x120"),
	},
	"AliquotRefusedDropped": {
		series("aliquot_ingest_refused_dropped_total", "", "0+0x115 1+0x4"),
		series("aliquot_ingest_refused_dropped_total", "", "7+0x120"),
	},
	"AliquotSettleAbsent": {series("aliquot_streams_healthy", "", "1+0x120"), series("aliquot_settle_lag_messages", `partition="0"`, "0+0x120")},
	"AliquotSettleStopped": {
		// It never committed, or stopped committing.
		series("aliquot_settle_lag_messages", `partition="0"`, "3+0x120") + series("aliquot_settle_lag_messages", `partition="1"`, "3+0x120") + series("aliquot_settle_commit_duration_seconds_count", `partition="1"`, "9+0x120"),
		series("aliquot_settle_lag_messages", `partition="0"`, "3+1x120") + series("aliquot_settle_commit_duration_seconds_count", `partition="0"`, "0+1x120"),
	},
	"AliquotSettleLagging": {series("aliquot_settle_lag_duration_seconds", `partition="0"`, "0+1x120"), series("aliquot_settle_lag_duration_seconds", `partition="0"`, "2+0x120")},
	"AliquotSettleSlow": {
		series("aliquot_settle_latency_seconds_bucket", `partition="0", le="1"`, "0+90x120") + series("aliquot_settle_latency_seconds_bucket", `partition="0", le="30"`, "0+100x120") + series("aliquot_settle_latency_seconds_bucket", `partition="0", le="+Inf"`, "0+100x120"),
		series("aliquot_settle_latency_seconds_bucket", `partition="0", le="1"`, "0+100x120") + series("aliquot_settle_latency_seconds_bucket", `partition="0", le="30"`, "0+100x120") + series("aliquot_settle_latency_seconds_bucket", `partition="0", le="+Inf"`, "0+100x120"),
	},
	"AliquotDecisionsWaiting": {series("aliquot_settle_lag_decisions", `partition="0"`, "2+0x120"), series("aliquot_settle_lag_decisions", `partition="0"`, "0+0x119 1")},
	"AliquotCommitRetrying": {
		series("aliquot_distribute_commit_retries_total", "", "0+1x120"),
		series("aliquot_settle_commit_retries_total", `partition="0"`, "4+0x120") + series("aliquot_distribute_commit_retries_total", "", "4+0x120"),
	},
	"AliquotRelayBehind":   {series("aliquot_relay_lag_seconds", `stream="LEDGER"`, "0+60x120"), series("aliquot_relay_lag_seconds", `stream="LEDGER"`, "1+0x120")},
	"AliquotDecisionsVoid": {series("aliquot_settle_voids_total", `partition="0"`, "0+0x100 1+0x20"), series("aliquot_settle_voids_total", `partition="0"`, "3+0x120")},
	"AliquotSuspenseGrowing": {
		series("aliquot_settle_suspense_events", `partition="0", pair="USDC/USD"`, "0+100x120"),
		series("aliquot_settle_suspense_events", `partition="0", pair="USDC/USD"`, "500+0x120"),
	},
	"AliquotSuspenseWaiting": {series("aliquot_settle_suspense_events", `partition="0", pair="USDC/USD"`, "5+0x120"), series("aliquot_settle_suspense_events", `partition="0", pair="USDC/USD"`, "0+0x120")},
	"AliquotQuoteStale": {
		// One of two sources is too old.
		series("aliquot_settle_quote_age_seconds", `partition="0", pair="USDC/USD", source="a"`, "0+60x120") + series("aliquot_settle_quote_age_seconds", `partition="0", pair="USDC/USD", source="b"`, "5+0x120") + series("aliquot_settle_quote_window_seconds", `partition="0", pair="USDC/USD"`, "3600+0x120"),
		series("aliquot_settle_quote_age_seconds", `partition="0", pair="USDC/USD", source="a"`, "60+0x120") + series("aliquot_settle_quote_window_seconds", `partition="0", pair="USDC/USD"`, "3600+0x120") + series("aliquot_settle_quote_window_seconds", `partition="0", pair="DAI/USD"`, "30+0x120"),
	},
	"AliquotDistributeBehind": {series("aliquot_distribute_lag_messages", `stream="CONTROL"`, "1+0x120"), series("aliquot_distribute_lag_messages", `stream="LEDGER"`, "100+0x120") + series("aliquot_distribute_lag_messages", `stream="CONTROL"`, "0+0x119 1")},
	"AliquotPayoutsStuck":     {series("aliquot_distribute_submitted_age_seconds", "", "170000+60x120"), series("aliquot_distribute_submitted_age_seconds", "", "0+60x120")},
	"AliquotKeeperStopped":    {series("aliquot_keeper_stopped", "", "1+0x120"), series("aliquot_keeper_stopped", "", "0+0x120")},
	"AliquotKeeperBehind": {
		series("aliquot_keeper_lag_messages", `log="ledger"`, "5+0x120") + series("aliquot_keeper_size", `log="ledger"`, "100+0x120"),
		series("aliquot_keeper_lag_messages", `log="ledger"`, "5+0x120") + series("aliquot_keeper_size", `log="ledger"`, "100+7x120"),
	},
}

func series(name, attributes, values string) string {
	if attributes != "" {
		attributes = ", " + attributes
	}
	return fmt.Sprintf("  %s{%s%s} %s\n", name, here, attributes, values)
}

// share returns series of accepted events, and of events refused by ingest and by
// settlement.
func share(accepted, early, late string) string {
	return series("aliquot_ingest_accepted_total", "", accepted) + series("aliquot_ingest_refused_total", `reason="no_rate"`, early) +
		series("aliquot_ingest_refused_total", `reason="absurd"`, "0+0x120") + series("aliquot_settle_events_total", `partition="0", outcome="refused", reason="conflict"`, late) +
		series("aliquot_settle_events_total", `partition="0", outcome="accepted"`, accepted)
}

func TestEveryAlertFiresWhenItShould(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			occasion, ok := occasions[r.Alert]
			if !ok {
				t.Errorf("%s is never seen to fire", r.Alert)
				continue
			}
			if got := evaluate(t, engine, r.Expr, occasion.fires); got == 0 {
				t.Errorf("%s does not fire at\n%s", r.Alert, occasion.fires)
			}
			if got := evaluate(t, engine, r.Expr, occasion.silent); got > 0 {
				t.Errorf("%s fires at\n%s", r.Alert, occasion.silent)
			}
		}
	}
}

// evaluate returns how many alerts fire at the end of the series.
func evaluate(t *testing.T, engine *promql.Engine, expr, input string) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+strings.TrimRight(input, "\n"))
	query, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(0, 0).Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return len(vector)
}
