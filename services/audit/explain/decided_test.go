package explain_test

import (
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// Every decision is explained by its position and by its id: who, when, why, and
// why it is void where it is. Fails when a void decision is shown as in effect, or
// its reason is not told.
func TestDecisionsAreExplained(t *testing.T) {
	w := audittest.New(t)
	w.Declare(
		events.ProviderDeclared{Provider: "acme"}, // decision-1
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.CustomerDeclared{Customer: "ann", Book: "eu"},
		events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{{Round: "1", Time: audittest.Noon, Rate: audittest.Amount(t, "1")}}},
		events.RoundWithdrawn{Pair: "USDC/USD", Source: "feed", Round: "1", Reason: "decimals were misread"},
		events.DepositRecorded{Book: "eu", Customer: "ann", Asset: "USDC", Amount: audittest.Amount(t, "5"), Reference: "wire"}, // decision-6
		events.DepositReversed{Book: "eu", Customer: "ann", Asset: "USDC", Amount: audittest.Amount(t, "5"), Reference: "wire", Deposit: "decision-6", Reason: "it was bob's"},
		events.PeriodClosed{Book: "eu", Period: "2026-11-20"},
		events.PeriodReopened{Book: "eu", Period: "2026-11-20", Reason: "usage is missing"}, // decision-9
	)
	for _, body := range []events.Body{
		events.RoundWithdrawn{Pair: "USDC/USD", Source: "feed", Round: "9", Reason: "typing"}, // void in settlement
		events.PeriodClosed{Book: "eu", Period: "2026-11-25"},                                 // has not ended
		events.QuotesObserved{Pair: "USDC/USD", Source: "feed", Rounds: []events.Round{{Round: "2", Time: audittest.Noon.AddDate(36, 0, 0), Rate: audittest.Amount(t, "1")}}},
	} {
		if w.Decide(body) == "" {
			t.Errorf("%s had an effect", body.Kind())
		}
	}
	w.Rest()
	for _, c := range []struct {
		name, id string
		want     []string
	}{
		{"a declaration, by its position", "control:1", []string{"Provider declared by operator:ada at CONTROL position 1, on 2026-11-25", `"acme"`, "in effect"}},
		{"the same, by its id", "decision-1", []string{"provider_declared", "CONTROL position 1,"}},
		{"a withdrawal and why", "control:5", []string{"round_withdrawn", "decimals were misread", "in effect"}},
		{"a reversal and why", "control:7", []string{"deposit_reversed", "it was bob's", "decision-6", "in effect"}},
		{"a reopening and why", "decision-9", []string{"period_reopened", "usage is missing", "in effect"}},
		{"one that is void in settlement", "control:10", []string{"round_withdrawn", `void in settlement, partition 0: pair USDC/USD has no round "9"`}},
		{"one that is void where it stands", "control:11", []string{"period_closed", "void at its position in CONTROL: period: 2026-11-25 has not ended"}},
		{"a quote from the future", "control:12", []string{"quotes_observed", "void at its position in CONTROL: rounds[0].time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := explain.Explain(t.Context(), sources(w), c.id)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := explain.Write(&out, &n); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
	for _, id := range []string{"control:0", "control:13", "control:x", "decision-99"} {
		if _, err := explain.Explain(t.Context(), sources(w), id); err == nil || !strings.Contains(err.Error(), explain.ErrUnknown.Error()) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A stream that does not answer says nothing against a posting. Fails when what
// could not be read is told as a wrong figure.
func TestAStreamThatDoesNotAnswerIsNoWrongFigure(t *testing.T) {
	w := audittest.New(t)
	w.Declare(
		events.ProviderDeclared{Provider: "acme"},
		events.BookDeclared{Book: "eu", Provider: "acme", Calendar: "day", TimeZone: "UTC", Asset: "USDC", FutureSeconds: 300},
		events.MeterDeclared{Meter: "gpu.seconds", Book: "eu", Unit: "s"},
		events.NodeDeclared{Node: "n1", Book: "eu"}, events.CustomerDeclared{Customer: "ann", Book: "eu"},
		events.CardDeclared{Card: "std", Version: 1, Book: "eu", Currency: "USDC", Effective: audittest.Noon.Add(-time.Hour),
			Rules: []events.CardRule{{Meter: "gpu.seconds", Price: audittest.Amount(t, "1"), Per: audittest.Quantity(t, "1")}}},
	)
	w.Send("eu", "acme", audittest.Event{ID: "b", Node: "n1", Customer: "ann", Quantity: "4"})
	w.Rest()
	text := func(from explain.Sources, id string) string {
		n, err := explain.Explain(t.Context(), from, id)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := explain.Write(&out, &n); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	posting := regexp.MustCompile(`settle-0-\d+/\d+/\d+`).FindString(text(sources(w), "meter-1#b"))
	if before := text(sources(w), posting); !strings.Contains(before, "equal to the posting") {
		t.Fatalf("explained as\n%s", before)
	}
	// A stream of that name that has none of the messages.
	other, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), LazySync: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	silent := sources(w)
	usage, err := other.Usage(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	silent.Usage = []*eventlog.Stream{usage}
	if after := text(silent, posting); strings.Contains(after, "NOT equal") || !strings.Contains(after, "could not be read") {
		t.Errorf("explained as\n%s", after)
	}
}
