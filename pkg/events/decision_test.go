package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(s string) money.Amount {
	a, err := money.ParseAmount(s)
	if err != nil {
		panic(err)
	}
	return a
}

func quantity(s string) money.Quantity {
	q, err := money.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

// everyBody has one full body of each kind.
var everyBody = []Body{
	ProviderDeclared{Provider: "acme", Name: "Acme & Söhne <GPU>"},
	BookDeclared{Book: "acme-eu", Provider: "acme", Calendar: "month", TimeZone: "UTC", Asset: "USDC", HorizonSeconds: 3_024_000, FutureSeconds: 300, ReceivedFromEvent: true, Partition: 3},
	NodeDeclared{Node: "gpu-001", Book: "acme-eu", Attributes: map[string]string{"region": "eu-west", "gpu": "H100 SXM5"}},
	CustomerDeclared{Customer: "lab", Book: "acme-eu", Name: "The Lab", Plan: "pro"},
	MeterDeclared{Meter: "gpu.seconds", Book: "acme-eu", Unit: "s", Max: quantity("86400")},
	CardDeclared{Card: "gpu", Version: 2, Book: "acme-eu", Currency: "USD", Effective: noon, Rules: []CardRule{
		{Meter: "gpu.seconds", Match: map[string]string{"region": "eu-west", "gpu": "H100 SXM5"}, Price: amount("1.99"), Per: quantity("3600"), Granularity: quantity("60")},
		{Meter: "gpu.seconds", Price: amount("0"), Per: quantity("0.000000000000000001")},
	}},
	QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 86_400, MarginSeconds: 100, MaxDeviation: amount("0.0025"), MinSources: 1, Peg: amount("1"), PegWarn: amount("0.005"), PegHold: amount("0.02")},
	QuotesObserved{Pair: "USDC/USD", Source: "chainlink", Rounds: []Round{{Round: "36893488147419103823", Time: noon, Rate: amount("0.99209183")}, {Round: "36893488147419103824", Time: noon.Add(time.Second), Rate: amount("1")}}},
	SuspenseReleased{Pair: "USDC/USD", Book: "acme-eu", Source: "chainlink", Round: "36893488147419103823", Reason: "peg restored, see minutes of 13 March"},
	DepositRecorded{Book: "acme-eu", Customer: "lab", Asset: "USDC", Amount: amount("1000.000001"), Reference: "wire 17"},
	CollectionRequested{Book: "acme-eu", Customer: "lab"},
	PeriodClosed{Book: "acme-eu", Period: "2026-11"},
	PeriodReopened{Book: "acme-eu", Period: "2026-11", Reason: "the wrong year was closed"},
	RoundWithdrawn{Pair: "USDC/USD", Source: "chainlink", Round: "36893488147419103823", Reason: "decimals were misread"},
	DepositReversed{Book: "acme-eu", Customer: "lab", Asset: "USDC", Amount: amount("1000.000001"), Reference: "wire 17", Deposit: "deposit:acme-eu:lab:1", Reason: "it was another customer's wire"},
	TokenDeclared{Token: "GPU1", Book: "acme-eu", Nodes: []Node{"gpu-001", "gpu-002"}, Minimum: amount("0.5")},
	WaterfallDeclared{Token: "GPU1", FeeBasisPoints: 250},
	KeyIssued{Key: "acme-1", SHA256: strings.Repeat("0f", 32), Scope: "provider", Provider: "acme"},
	KeyRevoked{Key: "acme-1"},
	HoldersListed{List: "ofac-sdn", Part: 1, Parts: 2, Holders: []Holder{"0xdcbeffbecce100cce9e4b153c4e15cb885643193", "alice"}},
	DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-11", LedgerSeq: 17, RegisterSeq: 3, ControlSeq: 99, RecordDate: noon},
	PayoutsSubmitted{Batch: "b1", Rail: "csv", Distribution: "d1"},
	PayoutsConfirmed{Batch: "b1", Rail: "csv", Part: 0, Parts: 1, Results: []PayoutOutcome{{Payout: "d1:alice", State: "confirmed", Reference: "0xabc"}, {Payout: "d1:bob", State: "returned"}}},
	PayoutCorrected{Distribution: "d1", Payout: "po-1", From: "failed", State: "confirmed", Reference: "0xabc", Reason: "the bank's letter of 3 March"},
	PayoutRunDeclared{Run: "GPU1:run:1", Token: "GPU1", RegisterSeq: 3, ControlSeq: 99},
}

func decisionOf(b Body) Decision {
	return Decision{ID: "decision-1", Actor: "operator:alice", Approver: "operator:bob", At: noon, Body: b}
}

func TestDecisionsKeepTheirBytesForever(t *testing.T) {
	for _, b := range everyBody {
		t.Run(b.Kind(), func(t *testing.T) {
			d := decisionOf(b)
			data, err := AppendDecision([]byte("before"), d)
			if err != nil {
				t.Fatal(err)
			}
			data, found := bytes.CutPrefix(data, []byte("before"))
			if !found {
				t.Fatal("what was in dst is gone")
			}
			golden.Compare(t, "decision-v1/"+b.Kind()+".json", data)
			back, err := DecodeDecision(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, d) {
				t.Errorf("decoded\n%+v, encoded\n%+v", back, d)
			}
		})
	}
}

// What a closing and a declaration rest on was added later: the bytes of those
// without it are what they were.
func TestWhatDecisionsRestOnKeepsItsBytesForever(t *testing.T) {
	rests := []LogState{{Log: "control", Size: 99, Root: Root{1}}, {Log: "ledger", Size: 17, Root: Root{31: 2}}}
	for _, b := range []Body{
		PeriodClosed{Book: "acme-eu", Period: "2026-11", Early: true, Reason: "the customer leaves", RestsOn: rests},
		DistributionDeclared{Distribution: "d1", Token: "GPU1", Period: "2026-11", LedgerSeq: 17, RegisterSeq: 3, ControlSeq: 99, RecordDate: noon, RestsOn: rests},
		PayoutRunDeclared{Run: "GPU1:run:1", Token: "GPU1", RegisterSeq: 3, ControlSeq: 99, RestsOn: rests},
	} {
		data, err := AppendDecision(nil, decisionOf(b))
		if err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, "decision-v1/"+b.Kind()+"-rests_on.json", data)
		if back, err := DecodeDecision(data); err != nil || !reflect.DeepEqual(back, decisionOf(b)) {
			t.Errorf("decoded %+v, %v", back, err)
		}
		for name, bad := range map[string]string{"a root that is cut": strings.Replace(string(data), "AQAA", "AQA", 1), "a root in another spelling": strings.Replace(string(data), "AAA=\"", "AAB=\"", 1), "a log without a name": strings.Replace(string(data), `"ledger"`, `""`, 1)} {
			d, err := DecodeDecision([]byte(bad))
			if err == nil {
				err = d.Validate()
			}
			if err == nil {
				t.Errorf("%s: %s", name, bad)
			}
		}
	}
	twice := PeriodClosed{Book: "b", Period: "2026-11", RestsOn: []LogState{{Log: "ledger"}, {Log: "ledger"}}}
	if twice.Validate() == nil {
		t.Error("a log twice")
	}
	if state, ok := StateOf(rests, "ledger"); !ok || state.Size != 17 {
		t.Errorf("%+v", state)
	}
	if _, ok := StateOf(rests, "payout"); ok {
		t.Error("a log that is not there")
	}
}

// Fails when a body is left out of the table of kinds, or when an entry lacks its
// name, its words, its phrase or a golden decision, or is there twice.
func TestEveryKindIsInTheTable(t *testing.T) {
	golden := map[string]Body{}
	for _, b := range everyBody {
		golden[b.Kind()] = b
	}
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.Name == "" || k.Words == "" || k.Phrase == "" || seen[k.Name] {
			t.Errorf("%+v lacks its name, words or phrase, or is there twice", k)
		}
		seen[k.Name] = true
		b := golden[k.Name]
		if b == nil {
			t.Errorf("%s has no golden decision", k.Name)
			continue
		}
		data, err := AppendBody(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeBody(k.Name, data); err != nil || reflect.TypeOf(back) != reflect.TypeOf(b) {
			t.Errorf("%s: decoded %T, %v", k.Name, back, err)
		}
		// A body with instants or roots says so to the codec: otherwise equal decisions
		// would have different bytes, or one that rests on other roots would be another.
		fields := reflect.VisibleFields(reflect.TypeOf(b))
		_, utc := b.(interface{ inUTC() Body })
		_, roots := b.(interface{ withoutRoots() Body })
		for _, f := range fields {
			if f.Type == reflect.TypeFor[time.Time]() && !utc || f.Type == reflect.TypeFor[[]LogState]() && !roots {
				t.Errorf("%s has %s, and does not say how it is written", k.Name, f.Name)
			}
		}
	}
	for kind := range golden {
		if _, ok := KindOf(kind); !ok {
			t.Errorf("%s is not in the table", kind)
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d kinds, of 25", len(seen))
	}
}

func TestInstantsAreWrittenInUTCWhateverTheirZone(t *testing.T) {
	zone := time.FixedZone("east", 2*60*60)
	for _, b := range []Body{everyBody[5], everyBody[7], everyBody[17]} {
		want, err := AppendDecision(nil, decisionOf(b))
		if err != nil {
			t.Fatal(err)
		}
		switch v := b.(type) {
		case CardDeclared:
			v.Effective = v.Effective.In(zone)
			b = v
		case QuotesObserved:
			v.Rounds = []Round{v.Rounds[0], v.Rounds[1]}
			v.Rounds[1].Time = v.Rounds[1].Time.In(zone)
			b = v
		case DistributionDeclared:
			v.RecordDate = v.RecordDate.In(zone)
			b = v
		}
		d := decisionOf(b)
		d.At = d.At.In(zone)
		got, err := AppendDecision(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %s instead of %s", b.Kind(), got, want)
		}
	}
}

func TestDecodingRefusesWhatWasNotWritten(t *testing.T) {
	good := `{"v":1,"id":"x","kind":"key_revoked","actor":"a","at":"2026-11-22T12:00:00Z","body":{"key":"k"}}`
	if _, err := DecodeDecision([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ why, data, want string }{
		{"nothing at all", ``, "no JSON value"},
		{"half an object", good[:40], "unexpected EOF"},
		{"bytes after the object", good + "{}", "bytes after"},
		{"white space after the object", good + "\n", "canonical"},
		{"an unknown member of the envelope", strings.Replace(good, `"v":1`, `"v":1,"w":2`, 1), `unknown field "w"`},
		{"an unknown member of the body", strings.Replace(good, `"k"}`, `"k","why":1}`, 1), `unknown field "why"`},
		{"a member twice", strings.Replace(good, `"key":"k"`, `"key":"j","key":"k"`, 1), "occurs twice"},
		{"a member in capitals", strings.Replace(good, `"key":`, `"KEY":`, 1), "it is written"},
		{"an unknown kind", strings.Replace(good, `key_revoked`, `key_lost`, 1), `unknown kind "key_lost"`},
		{"a later version", strings.Replace(good, `"v":1`, `"v":2`, 1), "version 2"},
		{"no version", strings.Replace(good, `"v":1,`, ``, 1), "version 0"},
		{"another type", strings.Replace(good, `"k"}`, `7}`, 1), "cannot unmarshal number"},
		{"another zone", strings.Replace(good, `12:00:00Z`, `14:00:00+02:00`, 1), "canonical"},
		{"invalid UTF-8", strings.Replace(good, `"k"`, "\"\xff\"", 1), "canonical"},
		{"an amount as a number", `{"v":1,"id":"x","kind":"deposit_recorded","actor":"a","at":"2026-11-22T12:00:00Z","body":{"book":"b","customer":"c","asset":"USDC","amount":1.5,"reference":""}}`, "canonical"},
		{"an amount of nothing", `{"v":1,"id":"x","kind":"deposit_recorded","actor":"a","at":"2026-11-22T12:00:00Z","body":{"book":"b","customer":"c","asset":"USDC","amount":null,"reference":""}}`, "null"},
		{"a body of nothing", strings.Replace(good, `{"key":"k"}`, `null`, 1), "canonical"},
		{"too much", strings.Repeat(" ", MaxDecision+1), "more than"},
	} {
		if _, err := DecodeDecision([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.why, err, c.want)
		}
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		why  string
		body Body
		want []string // fields
	}{
		{"a provider without a name", ProviderDeclared{Name: "a\x00"}, []string{"provider", "name"}},
		{"an empty book", BookDeclared{}, []string{"book", "provider", "calendar", "time_zone", "asset"}},
		{"a book of absurd policies", BookDeclared{Book: "b", Provider: "p", Calendar: "week", TimeZone: "Europe/Zurich", Asset: "DOGE", HorizonSeconds: -1, FutureSeconds: 1 << 40, Partition: -1},
			[]string{"calendar", "time_zone", "asset", "horizon_seconds", "future_seconds", "partition"}},
		{"a node with bad attributes", NodeDeclared{Node: "a b", Book: "b", Attributes: map[string]string{"": "x", "ok": long}}, []string{"node", "attributes", "attributes.ok"}},
		{"a meter without a unit", MeterDeclared{Meter: "m", Book: "b", Max: quantity("-1")}, []string{"unit", "max"}},
		{"a card without rules", CardDeclared{Card: "c", Book: "b", Currency: "usd"}, []string{"version", "currency", "effective", "rules"}},
		{"a card with a bad second rule", CardDeclared{Card: "c", Version: 1, Book: "b", Currency: "USD", Effective: noon, Rules: []CardRule{
			{Meter: "m", Per: quantity("1")}, {Price: amount("-1"), Granularity: quantity("-60")}}},
			[]string{"rules[1].meter", "rules[1].price", "rules[1].per", "rules[1].granularity"}},
		{"a quote policy without guards", QuotePolicyDeclared{Pair: "USDC/USD"}, []string{"heartbeat_seconds", "min_sources"}},
		{"a peg without a hold", QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 1, MinSources: 1, Peg: amount("1"), PegWarn: amount("0.1")}, []string{"peg_hold"}},
		{"a warning beyond the hold", QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 1, MinSources: 1, Peg: amount("1"), PegWarn: amount("0.1"), PegHold: amount("0.05")}, []string{"peg_warn"}},
		{"a band without a peg", QuotePolicyDeclared{Pair: "USDC/USD", HeartbeatSeconds: 1, MinSources: 1, PegHold: amount("0.05")}, []string{"peg"}},
		{"a pair of one", QuotePolicyDeclared{Pair: "USDC", Fixed: amount("1")}, []string{"pair"}},
		{"rounds that go back", QuotesObserved{Pair: "USDC/USD", Source: "a#b", Rounds: []Round{{Round: "1", Time: noon, Rate: amount("1")}, {Round: "2", Time: noon.Add(-1), Rate: amount("0")}}},
			[]string{"source", "rounds[1].time", "rounds[1].rate"}},
		{"a release without a reason", SuspenseReleased{Pair: "USDC/USD", Source: "s", Round: "1", Reason: " "}, []string{"reason"}},
		{"a deposit below the minor unit", DepositRecorded{Book: "b", Customer: "c", Asset: "USDC", Amount: amount("0.0000001")}, []string{"amount"}},
		{"a deposit of nothing", DepositRecorded{Book: "b", Customer: "c", Asset: "USDC"}, []string{"amount"}},
		{"a week", PeriodClosed{Book: "b", Period: "2026-W47"}, []string{"period"}},
		{"a token with nodes and all nodes", TokenDeclared{Token: "t", Book: "b", Nodes: []Node{"n", "n"}, Pool: true, Minimum: amount("-1")}, []string{"nodes", "nodes", "minimum_payout"}},
		{"a token without nodes", TokenDeclared{Token: "t", Book: "b"}, []string{"nodes"}},
		{"a fee above everything", WaterfallDeclared{Token: "t", FeeBasisPoints: 10_001}, []string{"fee_basis_points"}},
		{"a key of no secret and no scope", KeyIssued{Key: "k"}, []string{"sha256", "scope"}},
		{"a key in capitals for nobody", KeyIssued{Key: "k", SHA256: strings.Repeat("0F", 32), Scope: "provider"}, []string{"sha256", "provider"}},
		{"an NKey of an account", KeyIssued{Key: "k", NKey: "A" + strings.Repeat("B", 55), Scope: "operator", Provider: "p"}, []string{"nkey", "provider"}},
		{"a part beyond the parts", HoldersListed{List: "l", Part: 2, Parts: 2, Holders: []Holder{"0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193"}}, []string{"part", "holders[0]"}},
		{"a distribution of nothing", DistributionDeclared{}, []string{"distribution", "token", "period", "record_date"}},
		{"a confirmation of another state", PayoutsConfirmed{Batch: "b", Rail: "csv", Parts: 1, Results: []PayoutOutcome{{State: "paid"}}}, []string{"results[0].payout", "results[0].state"}},
		{"a confirmation that is no answer", PayoutsConfirmed{Batch: "b", Rail: "csv", Parts: 1, Results: []PayoutOutcome{{Payout: "p", State: "failed", Holder: "a b", Asset: "usd c", Amount: amount("-1")}}}, []string{"results[0].holder", "results[0].asset", "results[0].amount"}},
		{"a correction of nothing", PayoutCorrected{}, []string{"distribution", "payout", "from", "state", "reason"}},
		{"a correction to what no rail can say", PayoutCorrected{Distribution: "d", Payout: "p", From: "planned", State: "withheld", Reference: "a\x00", Reason: " \t"}, []string{"from", "state", "reference", "reason", "reason"}},
		{"a payout run of nothing", PayoutRunDeclared{}, []string{"run", "token"}},
		{"a submission of nothing", PayoutsSubmitted{}, []string{"batch", "rail", "distribution"}},
		{"a revocation of nothing", KeyRevoked{}, []string{"key"}},
		{"a collection for a bad name", CollectionRequested{Customer: "a b"}, []string{"book", "customer"}},
		{"a customer with a long plan", CustomerDeclared{Customer: "c", Book: "b", Plan: long}, []string{"plan"}},
	} {
		err := c.body.Validate()
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: got %v", c.why, err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.Field)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: fields %q, want %q (%v)", c.why, got, c.want, err)
		}
		if _, err := AppendDecision(nil, decisionOf(c.body)); err == nil {
			t.Errorf("%s: was encoded", c.why)
		}
	}
	for _, b := range everyBody {
		if err := b.Validate(); err != nil {
			t.Errorf("%s: %v", b.Kind(), err)
		}
	}
}

func TestNobodyApprovesTheirOwnDecision(t *testing.T) {
	d := decisionOf(KeyRevoked{Key: "k"})
	d.Approver = d.Actor
	if err := d.Validate(); err == nil || !strings.Contains(err.Error(), "approver") {
		t.Errorf("got %v", err)
	}
	if err := (Decision{}).Validate(); err == nil {
		t.Error("an empty decision is valid")
	}
}

func FuzzDecodeDecision(f *testing.F) {
	for _, b := range everyBody {
		data, err := AppendDecision(nil, decisionOf(b))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := DecodeDecision(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("decoded what is not JSON")
		}
		again, err := AppendDecision(nil, d)
		if err != nil {
			return // Readable, but not valid: the directory says so.
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("one decision has two texts: %s and %s", data, again)
		}
	})
}
