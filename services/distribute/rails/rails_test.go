package rails

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/rowfile"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

func amount(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func batch(t testing.TB) Batch {
	return Batch{Name: "b1", Distribution: "d1", Payouts: []Payout{
		{ID: "po-1", Holder: "ann", Asset: "USDC", Amount: amount(t, "12.34")},
		{ID: "po-2", Holder: `b,"e"n`, Asset: "JPY", Amount: amount(t, "5")},
		{ID: "po-3", Holder: "cas", Asset: "USDC", Amount: amount(t, "0.000001")},
	}}
}

func written(t testing.TB, rail Rail, b Batch) string {
	t.Helper()
	var out bytes.Buffer
	if err := rail.Write(&out, b); err != nil {
		t.Fatalf("%s: %v", rail.Name(), err)
	}
	return out.String()
}

// Every rail is found by its name, writes equal batches as equal bytes and other
// batches as others, and refuses what cannot be paid.
func TestRailsConform(t *testing.T) {
	for _, rail := range All() {
		found, err := Of(rail.Name())
		if err != nil || found != rail || rail.ContentType() == "" {
			t.Errorf("rail %q is %v, of type %q, %v", rail.Name(), found, rail.ContentType(), err)
		}
		first := written(t, rail, batch(t))
		if again := written(t, rail, batch(t)); again != first {
			t.Errorf("%s: the same batch again: %q, want %q", rail.Name(), again, first)
		}
		other := batch(t)
		other.Payouts[0].Amount = amount(t, "12.35")
		if written(t, rail, other) == first {
			t.Errorf("%s: another amount gives the same bytes", rail.Name())
		}
		other = batch(t)
		other.Name = "b2"
		if written(t, rail, other) == first {
			t.Errorf("%s: another batch gives the same bytes", rail.Name())
		}
		for name, spoil := range map[string]func(*Batch){
			"no payouts":             func(b *Batch) { b.Payouts = nil },
			"a payout twice":         func(b *Batch) { b.Payouts[1].ID = b.Payouts[0].ID },
			"payouts out of order":   func(b *Batch) { b.Payouts[0], b.Payouts[1] = b.Payouts[1], b.Payouts[0] },
			"an amount of zero":      func(b *Batch) { b.Payouts[0].Amount = money.Amount{} },
			"less than a minor unit": func(b *Batch) { b.Payouts[0].Amount = amount(t, "0.0000001") },
			"an unknown asset":       func(b *Batch) { b.Payouts[0].Asset = "WAT" },
			"a batch without a name": func(b *Batch) { b.Name = "" },
		} {
			bad := batch(t)
			spoil(&bad)
			if err := rail.Write(io.Discard, bad); err == nil {
				t.Errorf("%s: %s: was taken", rail.Name(), name)
			}
		}
	}
	if _, err := Of("pigeon"); err == nil {
		t.Error("there is a rail of any name")
	}
}

func TestCSVBytes(t *testing.T) {
	var b bytes.Buffer
	if err := (CSV{}).Write(&b, batch(t)); err != nil {
		t.Fatal(err)
	}
	// Fails when amounts lose the zeros of their minor unit, or get a point where there is none.
	want := "payout_id,holder,asset,amount,distribution,batch\n" +
		"po-1,ann,USDC,12.340000,d1,b1\n" +
		"po-2,\"b,\"\"e\"\"n\",JPY,5,d1,b1\n" +
		"po-3,cas,USDC,0.000001,d1,b1\n"
	if b.String() != want {
		t.Fatalf("got\n%swant\n%s", b.String(), want)
	}
}

func TestReadConfirmations(t *testing.T) {
	text := "\uFEFFBank, State ,payout_id,Reference\r\nx,Confirmed,po-1,tx 1\r\nx,failed, po-2 ,\r\nx,RETURNED,po-3,\"a,b\"\r\n"
	got, err := ReadConfirmations(strings.NewReader(text), Answers{})
	want := []events.PayoutOutcome{{Payout: "po-1", State: "confirmed", Reference: "tx 1"}, {Payout: "po-2", State: "failed"}, {Payout: "po-3", State: "returned", Reference: "a,b"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	text = "amount,Holder,payout_id,state,asset\n12.340000,0xDCBEFFBECCE100CCE9E4B153C4E15CB885643193,po-1,confirmed,USDC\n,,po-2,failed,\n"
	got, err = ReadConfirmations(strings.NewReader(text), Answers{})
	want = []events.PayoutOutcome{
		{Payout: "po-1", State: "confirmed", Holder: "0xdcbeffbecce100cce9e4b153c4e15cb885643193", Asset: "USDC", Amount: amount(t, "12.34")}, {Payout: "po-2", State: "failed"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := ReadConfirmations(strings.NewReader("state,payout_id\nconfirmed,po-1\n"), Answers{}); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestReadConfirmationsNamesLineAndField(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an empty file", "", "a.csv: the file is empty"},
		{"no state", "payout_id,reference\n", "a.csv: line 1: no column is called state"},
		{"no payout", "state\n", "a.csv: line 1: no column is called payout_id"},
		{"a column twice", "payout_id,state,state\n", `a.csv: line 1: the columns "state" and "state" could both be the state`},
		{"no lines", "payout_id,state\n", "a.csv: the file has no payouts"},
		{"an unknown state", "payout_id,state\npo-1,paid\n", `line 2: state: "paid" is not confirmed`},
		{"a state that only we may give", "payout_id,state\npo-1,submitted\n", "line 2: state: "},
		{"no id", "payout_id,state\n,confirmed\n", "line 2: payout_id: "},
		{"a payout twice", "payout_id,state\npo-1,confirmed\npo-1,failed\n", "line 3: payout_id: po-1 is already on line 2"},
		{"a missing field", "payout_id,state\npo-1\n", "line 2: the row has 1 fields and the header 2"},
		{"an open quote", "payout_id,state\n\"po-1,confirmed\n", "line 2"},
		{"a reference of 10 KB", "payout_id,state,reference\npo-1,failed," + strings.Repeat("x", 10_240) + "\n", "line 2: reference: "},
		{"a NUL", "payout_id,state\npo\x00,failed\n", "line 2: payout_id: "},
		{"an amount of no number", "payout_id,state,amount\npo-1,failed,12 USDC\n", "line 2: amount: "},
		{"an amount with a separator", "payout_id,state,amount\npo-1,failed,\"1,000.00\"\n", "line 2: amount: "},
		{"an amount of zero", "payout_id,state,amount\npo-1,failed,0.00\n", "line 2: amount: "},
		{"a negative amount", "payout_id,state,amount\npo-1,failed,-1\n", "line 2: amount: "},
		{"an asset of no name", "payout_id,state,asset\npo-1,failed,us dollar\n", "line 2: asset: "},
		{"a holder of two names", "payout_id,state,holder\npo-1,failed,ann ben\n", "line 2: holder: "},
		{"a column of amounts twice", "payout_id,state,amount,Amount\n", `line 1: the columns "amount" and "Amount" could both be the amount`},
		{"several at once", "payout_id,state\npo-1,x\npo-2,y\n", "line 3: state: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadConfirmations(strings.NewReader(c.text), Answers{Options: rowfile.Options{Name: "a.csv"}}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Fails when the dialects of the one reader of rows do not reach the answers of
// rails, or when a column is found by a name that the file did not give it.
func TestAnswersAreReadAsRailsWriteThem(t *testing.T) {
	want := []events.PayoutOutcome{
		{Payout: "po-1", State: "confirmed", Reference: "tx 1", Asset: "USDC", Amount: amount(t, "1234.5")}, {Payout: "po-2", State: "failed", Reference: "a;b"},
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("payout_id\tstate\treference\tasset\tamount\npo-1\tconfirmed\ttx 1\tUSDC\t1234.50\npo-2\tfailed\ta;b\t\t\n")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		how        Answers
	}{
		{"semicolons and decimal commas", "\uFEFFpayout_id;state;reference;asset;amount\r\npo-1;CONFIRMED;tx 1;USDC;1.234,50\r\npo-2;failed;\"a;b\";;\r\n", Answers{Options: rowfile.Options{Decimal: ',', Thousands: '.'}}},
		{"gzip and tabs", packed.String(), Answers{}},
		{"a bank's own names", "Status,Ref,Ccy,Sum,Id\nconfirmed,tx 1,USDC,1234.5,po-1\nfailed,a;b,,,po-2\n", Answers{Named: map[string]string{"payout_id": "Id", "state": "Status", "reference": "Ref", "asset": "Ccy", "amount": "Sum"}}},
		{"JSON Lines", `{"payout_id":"po-1","state":"confirmed","reference":"tx 1","asset":"USDC","amount":"1234.5"}` + "\n" + `{"payout_id":"po-2","state":"failed","reference":"a;b"}` + "\n", Answers{}},
		{"a JSON array", `[{"payout_id":"po-1","state":"confirmed","reference":"tx 1","asset":"USDC","amount":1234.50},` + "\n" + `{"payout_id":"po-2","state":"failed","reference":"a;b","amount":null}]`, Answers{}},
		{"lines of a letter before the header", "Bank of somewhere\nStatement 7\npayout_id,state,reference,asset,amount\npo-1,confirmed,tx 1,USDC,1234.5\npo-2,failed,a;b,,\n", Answers{Options: rowfile.Options{Skip: 2}}},
	} {
		got, err := ReadConfirmations(strings.NewReader(c.text), c.how)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for _, c := range []struct {
		name, text string
		how        Answers
		want       string
	}{
		{"a decimal comma that nobody announced", "payout_id;state;amount\npo-1;confirmed;1,5\n", Answers{}, "line 2: amount: "},
		{"a column that the file does not have", "payout_id,state\npo-1,confirmed\n", Answers{Named: map[string]string{"amount": "Sum"}}, `no column "Sum"`},
		{"a member that no row has", `{"payout_id":"po-1","state":"confirmed"}`, Answers{Named: map[string]string{"amount": "sum"}}, `no row has the column "sum"`},
		{"a name for what is not read", "payout_id,state\npo-1,confirmed\n", Answers{Named: map[string]string{"sum": "Sum"}}, `column "sum" is not one of payout_id, state`},
		{"UTF-16", "\xff\xfep\x00a\x00", Answers{}, "UTF-16"},
		{"a workbook", "PK\x03\x04rest", Answers{}, "the file is "},
	} {
		if _, err := ReadConfirmations(strings.NewReader(c.text), c.how); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestConfirmationsFitTheirDecisions(t *testing.T) {
	outcomes := make([]events.PayoutOutcome, 10_000)
	for i := range outcomes {
		outcomes[i] = events.PayoutOutcome{Payout: fmt.Sprintf("po-%032d", i), State: "confirmed", Reference: strings.Repeat("<", i%257), Holder: events.Holder(strings.Repeat("<", 1+i%120)), Asset: "USDC", Amount: amount(t, "170141183460469231731.687303715884105727")}
	}
	count := 0
	for i, part := range Confirmations("b1", "csv", outcomes) {
		if part.Part != i {
			t.Fatalf("part %d at %d", part.Part, i)
		}
		count += len(part.Results)
		if _, err := events.AppendDecision(nil, events.Decision{ID: "x", Actor: "operator:ada", At: time.Unix(0, 0), Body: part}); err != nil {
			t.Fatal(err)
		}
	}
	if count != len(outcomes) || Confirmations("b1", "csv", nil) != nil {
		t.Fatalf("%d of %d outcomes", count, len(outcomes))
	}
}

// What is read is valid, once a payout, and reads the same when it is written
// as plainly as can be.
func FuzzReadConfirmations(f *testing.F) {
	f.Add([]byte("payout_id,state,reference\npo-1,confirmed,x\n"))
	f.Add([]byte("\uFEFFstate,payout_id\r\nFAILED,\"po\"\"1\"\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadConfirmations(bytes.NewReader(data), Answers{})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, part := range Confirmations("b", "csv", list) {
			if err := part.Validate(); err != nil {
				t.Fatal(err)
			}
			for _, o := range part.Results {
				if seen[o.Payout] {
					t.Fatalf("%s twice", o.Payout)
				}
				seen[o.Payout] = true
			}
		}
		if len(seen) != len(list) || len(list) == 0 {
			t.Fatalf("%d of %d", len(seen), len(list))
		}
	})
}
