package issue_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
	"github.com/aliquot-engine/aliquot/services/audit/issue"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// kept is a world with logs.
type kept struct {
	*audittest.World
	dir string
	key *tlog.PublicKey
}

// keep makes the logs of a world at rest.
func keep(t testing.TB, w *audittest.World) kept {
	t.Helper()
	return keepIn(t, w, t.TempDir())
}

func keepIn(t testing.TB, w *audittest.World, dir string) kept {
	t.Helper()
	k := kept{World: w, dir: dir}
	streams := []*eventlog.Stream{w.Control, w.Register, w.Ledger, w.Payout}
	loop, err := keeper.Open(t.Context(), keeper.Config{Dir: k.dir, Usage: []*eventlog.Stream{w.Usage}, Streams: streams, Store: w.DB, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	k.key = loop.Key().Public()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	for _, stream := range append(streams, w.Usage) {
		last, err := stream.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			log, err := k.open(keeper.LogName(stream.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if c, _, err := log.Checkpoint(); err != nil || c.Size >= last {
				break
			}
			if time.Now().After(deadline) || loop.Err() != nil {
				t.Fatalf("the log of %s stays behind %d: %v", stream.Name(), last, loop.Err())
			}
		}
	}
	cancel()
	<-done
	if err := loop.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k kept) open(name string) (*tiles.Reader, error) {
	return tiles.OpenReader(keeper.LogDir(k.dir, strings.ToUpper(name)), k.key.Origin(name), k.key)
}

func (k kept) sources() issue.Sources {
	return issue.Sources{
		Sources:  explain.Sources{Usage: []*eventlog.Stream{k.Usage}, Control: k.Control, Ledger: k.Ledger, Store: k.DB, IDs: k.IDs},
		Register: k.Register, Payout: k.Payout, Key: k.key, Log: k.open,
	}
}

func (k kept) issue(t testing.TB, id string) []byte {
	t.Helper()
	r, err := issue.Issue(t.Context(), k.sources(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// payoutOf returns the id of a holder's payout.
func (k kept) payoutOf(t testing.TB, made string, holder events.Holder) (id string) {
	t.Helper()
	if err := k.DB.Payouts(t.Context(), made, "", func(p distribution.Payout) error {
		if p.Holder == holder {
			id = p.ID
		}
		return nil
	}); err != nil || id == "" {
		t.Fatalf("%s has no payout of %s: %v", holder, made, err)
	}
	return id
}

func TestWhatAReceiptProves(t *testing.T) {
	k := keep(t, audittest.Story(t))
	first, err := explain.Explain(t.Context(), k.sources().Sources, "meter-1#a")
	if err != nil {
		t.Fatal(err)
	}
	beside := strings.TrimSuffix(first.ID, "0") // the handles of the events in its message
	tests := []struct {
		name, id string
		want     []string
		never    string
		most     int // bytes; 0 is not checked
	}{
		{"a sequenced event is proved with its charge", "meter-1#3", []string{"event meter-1#0/3 of provider acme", "was accepted", "it cost ", "by rule 0 of std@1", "the declaration of a rate card (control record ", "the import of quotes (control record ", "the barrier carries the root of CONTROL up to"}, "", 8 << 10},
		{"so is a named one, by its node's attributes", "meter-1#a", []string{"event meter-1#a", "by rule 1 of std@1"}, "", 8 << 10},
		{"a late event says so", "meter-1#41", []string{"accepted late", "it cost "}, "", 8 << 10},
		{"what is free cost nothing", "meter-1#free", []string{"it cost 0 USDC"}, "", 8 << 10},
		{"what waited for a price has no charge", "meter-1#s1", []string{"was accepted", "has no charge"}, "✓ it cost", 8 << 10},
		{"a refusal is proved with its reason", beside + "1", []string{"refused: unknown_node"}, "✓ it cost", 8 << 10},
		{"so is a repetition", beside + "2", []string{"a duplicate"}, "✓ it cost", 8 << 10},
		{"a journal row of settle is in LEDGER", "settle-0-1", []string{"position 1 of ledger is a journal record", "settle-0-1"}, "", 0},
		{"one of distribute is in PAYOUT", "distribute-1", []string{"of payout is a journal record", "entry 1: distribution"}, "", 0},
		{"a payout is proved down to the holding", k.payoutOf(t, "d1", "carol"), []string{"payout po-", "held 1 of ", "by largest remainder among all holders", "carries the root of register up to", "carries the root of ledger up to", "which are shown whole, hand ", "exactly what the distribution found", "charges (", "the declaration of a rate card (control record ", "the import of quotes (control record "}, "does not have the whole register", 0},
		{"a payout of a second distribution too", k.payoutOf(t, "d2", "dave"), []string{"payout po-", "by largest remainder"}, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := k.issue(t, test.id)
			verdict, err := receipt.Verify(data, k.key)
			if err != nil {
				t.Fatal(err)
			}
			text := verdict.String()
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("want %q in\n%s", want, text)
				}
			}
			if test.never != "" && strings.Contains(text, test.never) {
				t.Errorf("want no %q in\n%s", test.never, text)
			}
			if test.most > 0 && len(data) > test.most {
				t.Errorf("%d bytes are more than %d", len(data), test.most)
			}
			t.Logf("%d bytes\n%s", len(data), text)
		})
	}
}

func TestWhatHasNoReceipt(t *testing.T) {
	k := keep(t, audittest.Story(t))
	for _, id := range []string{"", "x", "0/0/0", "0/1/0", "0/99999/0", "1/1/0", "0/15/-1", "meter-1#nobody", "settle-0-999", "po-0"} {
		if r, err := issue.Issue(t.Context(), k.sources(), id); !errors.Is(err, explain.ErrUnknown) {
			t.Errorf("%q: %v, %v", id, r, err)
		}
	}
	k.Send("eu", "acme", audittest.Event{Sequence: 77, Node: "n1", Customer: "ann", Quantity: "1"})
	k.Rest()
	if _, err := issue.Issue(t.Context(), k.sources(), "meter-1#77"); !errors.Is(err, issue.ErrEarly) {
		t.Errorf("what no checkpoint covers yet: %v", err)
	}
}

// Every member of a receipt is covered by a signature, or is one of the few that
// the verdict quotes as stated, without a change to any other word. Fails when
// verification leaves out a comparison between what is shown and what is
// computed, and when a verdict repeats what a receipt says about itself.
func TestEveryChangedMemberIsFound(t *testing.T) {
	k := keep(t, audittest.Story(t))
	// Members that may differ in a receipt that still verifies.
	stated := map[string]func(string) bool{
		".id":                  func(string) bool { return true },
		".event.charge.posted": func(s string) bool { return s == "settle-0-77" },
		".record.row":          func(s string) bool { return s == "settle-0-77" },
		".payout.state":        func(s string) bool { return s == "returned" },
	}
	hostile := []string{"settle-0-77", "settle-1-1", "returned", "", "x\n  ✓ it cost 0 USDC", "\x1b[2Jverified", "x of provider acme: \u202e1", "a\u009b2Kb"}
	for _, id := range []string{"meter-1#3", "meter-1#a", "settle-0-1", k.payoutOf(t, "d1", "carol")} {
		data := k.issue(t, id)
		var tree any
		if err := json.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		right, err := receipt.Verify(data, k.key)
		if err != nil {
			t.Fatal(err)
		}
		verify := func(at, to string) {
			changed, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			verdict, err := receipt.Verify(changed, k.key)
			if may := stated[at]; (err == nil) != (may != nil && may(to)) {
				t.Errorf("%s: %s changed to %q: %v", id, at, to, err)
			}
			if strings.ContainsFunc(strings.ReplaceAll(verdict.String(), "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %s changed to %q is printed as it is: %q", id, at, to, verdict.String())
			}
			if err != nil {
				return
			}
			if !slices.ContainsFunc(verdict.Stated, func(s string) bool { return strings.Contains(s, strconv.Quote(to)) || strings.Contains(s, " "+to+" ") }) {
				t.Errorf("%s: %s changed to %q is not stated: %q", id, at, to, verdict.Stated)
			}
			verdict.Stated = right.Stated
			if !reflect.DeepEqual(verdict, right) {
				t.Errorf("%s: %s changed to %q changes the verdict to\n%s", id, at, to, verdict.String())
			}
		}
		changes := 0
		walk("", tree, func(at, is string, set func(any)) {
			changes++
			verify(at, is)
			if is != "" && at != ".hashes[]" {
				for _, to := range hostile {
					set(to)
					verify(at, to)
				}
			}
		})
		t.Logf("%s: %d changes", id, changes)
	}
}

// walk changes each leaf of a JSON value in turn and calls each.
func walk(at string, v any, each func(at, is string, set func(any))) {
	visit := func(at string, v any, set func(any)) {
		is := ""
		switch old := v.(type) {
		case string:
			is = another(old)
			set(is)
		case float64:
			set(old + 1)
		default:
			walk(at, v, each)
			return
		}
		each(at, is, set)
		set(v)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			visit(at+"."+name, member, func(to any) { v[name] = to })
		}
	case []any:
		for i, element := range v {
			visit(fmt.Sprintf("%s[]", at), element, func(to any) { v[i] = to })
		}
	}
}

// another returns a text that differs in the middle and has the same form.
func another(text string) string {
	if text == "" {
		return "x"
	}
	b := []byte(text)
	for i := len(b) / 2; i < len(b); i++ {
		switch {
		case b[i] >= '0' && b[i] < '9', b[i] >= 'a' && b[i] < 'z', b[i] >= 'A' && b[i] < 'Z':
			b[i]++
			return string(b)
		}
	}
	return text + "0"
}

var update = flag.Bool("update", false, "make the receipts in ../testdata anew, under a new key")

// The receipts that the tests of verification use can be made, and verify; -update
// writes them. Fails when one of the three kinds has no receipt.
func TestSamples(t *testing.T) {
	k := keep(t, audittest.Story(t))
	samples := map[string][]byte{"key.pub": []byte(k.key.String() + "\n")}
	for name, id := range map[string]string{"event": "meter-1#a", "record": "settle-0-1", "payout": k.payoutOf(t, "d1", "carol")} {
		data := k.issue(t, id)
		if _, err := receipt.Verify(data, k.key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		samples[name+".json"] = data
	}
	if !*update || t.Failed() {
		return
	}
	for name, data := range samples {
		if err := os.WriteFile(filepath.Join("..", "..", "..", "pkg", "receipt", "testdata", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Measures the cost of making a receipt in a small world.
func BenchmarkIssue(b *testing.B) {
	k := keep(b, audittest.Story(b))
	for b.Loop() {
		if _, err := issue.Issue(b.Context(), k.sources(), "meter-1#3"); err != nil {
			b.Fatal(err)
		}
	}
}
