package distribute_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata; review the difference")

// Scenarios are transcripts: what stands after "> " is done, and what follows
// is what came of it, in the words of the journal (debit → credit).
//
// Seen to fail: when a payout is not screened again as it is submitted
// (screening), when what a rail gives back goes to payable instead of held
// (screening), when a second line about one payout sees its old state
// (returns), when a change of the waterfall after the control position is not
// noticed (void), when what was distributed stays in the inbox (carry).
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(text); got != want {
				t.Fatalf("%s: run with -update to see the difference; got\n%s", name, got)
			}
		})
	}
}

type player struct {
	t    *testing.T
	s    *streams
	db   *store.DB
	d    *running
	next uint64 // journal row
	runs int
	fee  int
	min  string
}

// play does what a transcript says and returns it with what came of it.
func play(t *testing.T, script string) string {
	t.Helper()
	p := &player{t: t, s: newStreams(t), db: openStore(t), next: 1, min: "0", fee: 200}
	p.start()
	p.s.basics(p.min, p.fee)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			out.WriteString(p.do(strings.Fields(line[2:])))
		case strings.HasPrefix(line, "  "):
			// what came of it the last time
		default:
			fmt.Fprintln(&out, line)
		}
	}
	checkBooks(t, p.db)
	return out.String()
}

func (p *player) start() {
	p.runs++
	p.d = p.s.run(p.db, fmt.Sprint("run-", p.runs), 0, nil)
}

func (p *player) do(words []string) string {
	p.t.Helper()
	s := p.s
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	holder := func(i int) events.Holder { return events.Holder(arg(i)) }
	count := func(i int) money.Units {
		if arg(i) == "" {
			return money.Units{}
		}
		u, err := money.ParseUnits(arg(i))
		if err != nil {
			p.t.Fatal(err)
		}
		return u
	}
	move := func(m events.Movement) string {
		s.move("acme", m)
		return ""
	}
	switch words[0] {
	case "issue":
		return move(events.Movement{Kind: events.Issued, To: holder(1), Units: count(2)})
	case "transfer":
		return move(events.Movement{Kind: events.Transferred, From: holder(1), To: holder(2), Units: count(3)})
	case "force":
		return move(events.Movement{Kind: events.ForcedTransfer, From: holder(1), To: holder(2), Units: count(3)})
	case "freeze":
		return move(events.Movement{Kind: events.Frozen, From: holder(1), Units: count(2)})
	case "unfreeze":
		return move(events.Movement{Kind: events.Unfrozen, From: holder(1), Units: count(2)})
	case "recover":
		return move(events.Movement{Kind: events.Recovered, From: holder(1), To: holder(2)})
	case "settle":
		s.decide(events.PeriodClosed{Book: "acme-eu", Period: events.Period(arg(1))})
		s.settle("acme-eu", "acme", events.Period(arg(1)), map[money.Asset]string{money.Asset(arg(3)): arg(2)})
		return ""
	case "handover": // without closing anything; of the period named, or 2026-01
		period := events.Period("2026-01")
		if arg(3) != "" {
			period = events.Period(arg(3))
		}
		s.settle("acme-eu", "acme", period, map[money.Asset]string{money.Asset(arg(2)): arg(1)})
		return ""
	case "close": // without a settler that says so
		return p.after(s.decide(events.PeriodClosed{Book: "acme-eu", Period: events.Period(arg(1))}))
	case "minimum":
		return p.after(s.decide(events.TokenDeclared{Token: "acme", Book: "acme-eu", Pool: true, Minimum: amount(p.t, arg(1))}))
	case "fee":
		n := 0
		if _, err := fmt.Sscan(arg(1), &n); err != nil {
			p.t.Fatal(err)
		}
		return p.after(s.decide(events.WaterfallDeclared{Token: "acme", FeeBasisPoints: n}))
	case "list":
		var list []events.Holder
		for i := 1; i < len(words); i++ {
			list = append(list, holder(i))
		}
		return p.after(s.decide(events.HoldersListed{List: "sanctions", Parts: 1, Holders: list}))
	case "distribute":
		b := s.declare(arg(1), "acme", events.Period(arg(2)))
		for _, option := range words[3:] {
			if _, err := fmt.Sscanf(option, "control=%d", &b.ControlSeq); err == nil {
				continue
			}
			if _, err := fmt.Sscanf(option, "register=%d", &b.RegisterSeq); err == nil {
				continue
			}
			if _, err := fmt.Sscanf(option, "ledger=%d", &b.LedgerSeq); err != nil {
				p.t.Fatal(err)
			}
		}
		return p.after(s.decide(b))
	case "run": // run ID [register=N] [control=N]
		b := events.PayoutRunDeclared{Run: arg(1), Token: "acme"}
		declared := s.declare("", "acme", "")
		b.RegisterSeq, b.ControlSeq = declared.RegisterSeq, declared.ControlSeq
		for _, option := range words[2:] {
			if _, err := fmt.Sscanf(option, "control=%d", &b.ControlSeq); err == nil {
				continue
			}
			if _, err := fmt.Sscanf(option, "register=%d", &b.RegisterSeq); err != nil {
				p.t.Fatal(err)
			}
		}
		return p.after(s.decide(b))
	case "submit":
		rail := "csv"
		if len(words) > 3 {
			rail = arg(3)
		}
		return p.after(s.decide(events.PayoutsSubmitted{Batch: arg(1), Rail: events.Rail(rail), Distribution: arg(2)}))
	case "answer": // answer BATCH DISTRIBUTION holder=state[,column=value…] …
		var results []events.PayoutOutcome
		for _, w := range words[3:] {
			results = append(results, p.outcome(arg(2), w))
		}
		return p.after(s.decide(events.PayoutsConfirmed{Batch: arg(1), Rail: "csv", Parts: 1, Results: results}))
	case "correct": // correct DISTRIBUTION holder from to [reference]
		return p.after(s.decide(events.PayoutCorrected{Distribution: arg(1), Payout: p.payoutOf(arg(1), arg(2)), From: arg(3), State: arg(4), Reference: arg(5), Reason: "by letter"}))
	case "crash":
		_ = p.d.stop()
		p.start()
		return ""
	case "state":
		return p.state()
	}
	p.t.Fatalf("no such command: %v", words)
	return ""
}

// outcome is holder=state, or with the rail's other columns after it:
// holder=state,reference=x,amount=2,asset=USDC,holder=ben.
func (p *player) outcome(id, text string) events.PayoutOutcome {
	p.t.Helper()
	parts := strings.Split(text, ",")
	who, state, _ := strings.Cut(parts[0], "=")
	o := events.PayoutOutcome{Payout: p.payoutOf(id, who), State: state, Reference: "ref-" + who}
	for _, part := range parts[1:] {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "reference":
			o.Reference = value
		case "amount":
			o.Amount = amount(p.t, value)
		case "asset":
			o.Asset = money.Asset(value)
		case "holder":
			o.Holder = events.Holder(value)
		default:
			p.t.Fatalf("no such column: %s", part)
		}
	}
	return o
}

func (p *player) payoutOf(id, who string) string {
	found := "po-of-nobody"
	err := p.db.Payouts(context.Background(), id, "", func(x distribution.Payout) error {
		if string(x.Holder) == who {
			found = x.ID
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// after waits for a decision and says what came of it.
func (p *player) after(position uint64) string {
	p.t.Helper()
	p.d.wait(p.t, position)
	reason, err := p.d.VoidReason(context.Background(), position)
	if err != nil {
		p.t.Fatal(err)
	}
	text, next := journalText(p.t, p.db, p.next)
	p.next = next
	if reason != "" {
		text += "  no effect: " + reason + "\n"
	}
	return text
}

// state lists payouts and what is owed.
func (p *player) state() string {
	ctx := context.Background()
	var lines []string
	made, err := p.db.Distributions(ctx, "")
	if err != nil {
		p.t.Fatal(err)
	}
	assets := map[money.Asset]bool{}
	for _, d := range made {
		for _, pool := range d.Pools {
			assets[pool.Asset] = true
		}
		if err := p.db.Payouts(ctx, d.ID, "", func(x distribution.Payout) error {
			line := fmt.Sprintf("  %s pays %s %v %s: %s", d.ID, x.Holder, x.Amount, x.Asset, x.State)
			if x.Reference != "" {
				line += " (" + x.Reference + ")"
			}
			lines = append(lines, line)
			return nil
		}); err != nil {
			p.t.Fatal(err)
		}
	}
	for asset := range assets {
		if err := p.db.Entitlements(ctx, "acme", asset, func(e distribution.Entitlement) error {
			lines = append(lines, fmt.Sprintf("  owes %s %v %s payable and %v held", e.Holder, e.Payable, asset, e.Held))
			return nil
		}); err != nil {
			p.t.Fatal(err)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}
