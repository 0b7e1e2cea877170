package export_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/export"
)

func amountOf(t testing.TB, s string) money.Amount {
	t.Helper()
	return audittest.Amount(t, s)
}

func numberOf(t testing.TB, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Fails when a posting is left out, counted twice, or on the wrong side.
func TestTheTrialBalanceIsTheStores(t *testing.T) {
	k := keep(t, world(t))
	stored, err := k.DB.Balances(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	list := k.rows(t, "trial-balance", export.Options{})
	if len(list) != len(stored) {
		t.Fatalf("%d accounts, the store has %d", len(list), len(stored))
	}
	for i, b := range stored {
		r := list[i]
		if r["account"] != string(b.Account) || r["asset"] != string(b.Asset) || amountOf(t, r["debit"]) != b.Debit || amountOf(t, r["credit"]) != b.Credit {
			t.Errorf("%v, the store has %+v", r, b)
		}
	}
}

// sumsOf adds up a trial balance: the debits and credits of all accounts, and the
// lowest balance among the accounts that must not be overdrawn.
func sumsOf(t testing.TB, list []row) (debit, credit money.Amount, least string) {
	t.Helper()
	var err error
	for _, r := range list {
		if debit, err = debit.Add(amountOf(t, r["debit"])); err != nil {
			t.Fatal(err)
		}
		if credit, err = credit.Add(amountOf(t, r["credit"])); err != nil {
			t.Fatal(err)
		}
		if (r["kind"] == "token" || r["kind"] == "holder" || r["kind"] == "rail") && !strings.HasPrefix(r["balance"], "-") && r["balance"] != "0" {
			least = r["account"] + " " + r["balance"]
		}
	}
	return debit, credit, least
}

// At every position of every stream, and at every row, the books balance, nothing
// is distributed that was not handed over, and a later cut never has less. Fails
// when the two halves of the journal are not cut at the same point.
func TestTheBooksBalanceAtEveryPosition(t *testing.T) {
	k := keep(t, world(t))
	journal := k.rows(t, "journal", export.Options{})
	var moments []string
	for _, r := range journal {
		if stream := strings.ToLower(r["stream"]); len(moments) == 0 || moments[len(moments)-1] != stream+":"+r["position"] {
			moments = append(moments, r["row"], r["recorded"], stream+":"+r["position"])
		}
	}
	for n := range 27 {
		moments = append(moments, fmt.Sprintf("control:%d", n+1))
	}
	for _, at := range moments {
		list := k.rows(t, "trial-balance", export.Options{At: at})
		debit, credit, overdrawn := sumsOf(t, list)
		if debit != credit || overdrawn != "" {
			t.Errorf("at %s: debits %v, credits %v; overdrawn: %s", at, debit, credit, overdrawn)
		}
		sum := money.Amount{}
		for _, r := range k.rows(t, "journal", export.Options{At: at}) {
			var err error
			if sum, err = sum.Add(amountOf(t, r["amount"])); err != nil {
				t.Fatal(err)
			}
		}
		if sum != debit {
			t.Errorf("at %s: the journal moves %v, the balance %v", at, sum, debit)
		}
	}
	// Before the distribution was declared the report contains none of it; at the
	// declaration it contains all of it.
	if d, _, _ := sumsOf(t, k.rows(t, "trial-balance", export.Options{At: "control:17"})); d == (money.Amount{}) {
		t.Error("nothing was posted under the first 17 decisions")
	}
	for at, want := range map[string]int{"control:17": 0, "control:18": 2, "distribute-1": 2, "control:24": 4} {
		entries := map[string]bool{}
		for _, r := range k.rows(t, "journal", export.Options{At: at}) {
			if r["stream"] == "PAYOUT" && r["kind"] == "distribution" || r["kind"] == "payout" && r["card"] == "" && strings.HasPrefix(r["debit"], "holder:") {
				entries[r["row"]+"/"+r["entry"]] = true
			}
		}
		if len(entries) != want {
			t.Errorf("at %s: %d entries of distributions, want %d", at, len(entries), want)
		}
	}
	if list := k.rows(t, "journal", export.Options{At: audittest.Noon.AddDate(-9, 0, 0).Format(time.RFC3339)}); len(list) != 0 {
		t.Errorf("%d postings nine years ago", len(list))
	}
}

// Every node and period agrees with settle's tallies. Fails when an outcome is
// given to the wrong event, or when a node that belongs to no book has a line of
// its own.
func TestWhatIsAccountedForIsWhatSettleTallied(t *testing.T) {
	k := keep(t, world(t))
	tallies, err := k.DB.Tallies(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{}
	for _, y := range tallies {
		name := map[events.Outcome]string{events.Accepted: "accepted", events.Late: "late", events.Duplicate: "duplicate", events.Refused: "refused"}[y.Outcome]
		want[fmt.Sprint(y.Book, "|", y.Node, "|", y.Period, "|", name)] += y.Events
	}
	got := map[string]uint64{}
	for _, r := range k.rows(t, "accounted", export.Options{}) {
		sum := uint64(0)
		for _, name := range []string{"accepted", "late", "duplicate", "refused"} {
			n := numberOf(t, r[name])
			sum += n
			if n > 0 {
				got[r["book"]+"|"+r["node"]+"|"+r["period"]+"|"+name] = n
			}
		}
		if sum != numberOf(t, r["received"]) || r["accounted"] != "true" {
			t.Errorf("%v", r)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Late and refused events only, each once.
func TestEveryExceptionIsListed(t *testing.T) {
	k := keep(t, world(t))
	late, refused := 0, 0
	for _, r := range k.rows(t, "accounted", export.Options{}) {
		late += int(numberOf(t, r["late"]))
		refused += int(numberOf(t, r["refused"]))
	}
	for _, r := range k.rows(t, "exceptions", export.Options{}) {
		if r["outcome"] == "late" {
			late--
		} else {
			refused--
		}
	}
	if late != 0 || refused != 0 {
		t.Errorf("%d late and %d refused events are not listed", late, refused)
	}
}

// At a position a register is what distributions rest on there; at a date it ends
// before the first message with a later movement.
func TestHoldersAtAPositionAndAtARecordDate(t *testing.T) {
	k := keep(t, audittest.Story(t))
	frozen := func(options export.Options) (list []string) {
		for _, r := range k.rows(t, "holders", options) {
			list = append(list, r["holder"]+" "+r["units"]+" "+r["frozen"])
		}
		return list
	}
	before := "[carol 1 0 dave 8 0 erin 29 0 mallory 64 0 zoe 113 0]"
	after := strings.Replace(before, "erin 29 0", "erin 29 3", 1)
	for at, want := range map[string]string{
		"": after, "register:1": before, "register:2": after,
		audittest.Noon.Format(time.RFC3339):                   after,
		audittest.Noon.Add(-time.Second).Format(time.RFC3339): "[]",
	} {
		if got := fmt.Sprint(frozen(export.Options{At: at})); got != want {
			t.Errorf("at %q: %s, want %s", at, got, want)
		}
	}
}
