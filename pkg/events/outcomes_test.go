package events

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

// awkward are texts that JSON does not write as they are.
var awkward = []string{"", "plain", "a b", `quote " in it`, `back\slash`, "<&>", "tab\t", "\x00", "\x7f", "ü", "\u2028", "\xff", `,"results":[`, `]}}`, "},{"}

// Fails when appendMember takes a quote, a backslash or U+2028 as it is.
func TestListsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	var outcomes []PayoutOutcome
	var planned []PlannedPayout
	for i, s := range awkward {
		outcomes = append(outcomes, PayoutOutcome{Payout: s, State: awkward[(i+1)%len(awkward)], Reference: awkward[(i+2)%len(awkward)],
			Holder: Holder(awkward[(i+3)%len(awkward)]), Asset: money.Asset(awkward[(i+4)%len(awkward)]), Amount: money.Atto(int64(i % 3))})
		planned = append(planned, PlannedPayout{Payout: s, Holder: Holder(awkward[(i+1)%len(awkward)]), Asset: "USDC", Amount: amount("-0.000000000000000001")})
	}
	check := func(what string, got []byte, err error, of any) {
		want, err2 := appendJSON(nil, of)
		if err != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", what, err, err2)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	for n := range len(awkward) + 1 {
		confirmed := PayoutsConfirmed{Batch: "b", Rail: "csv", Parts: 1, Results: outcomes[:n]}
		got, err := AppendBody(nil, confirmed)
		check("confirmed", got, err, confirmed)
		changed := PayoutsChanged{Batch: "b", Rail: "csv", Parts: 1, Changes: outcomes[:n]}
		body, err := appendPaidBody(nil, changed)
		check("changed", body, err, changed)
		got, err = AppendPaid(nil, changed)
		check("the whole of changed", got, err, sheet{paidVersion, changed.Kind(), body})
		plans := PayoutsPlanned{Distribution: "d", Token: "T", Rail: "csv", Parts: 1, Payouts: planned[:n]}
		got, err = appendPaidBody(nil, plans)
		check("planned", got, err, plans)
	}
}

// Fails when cutOutcomes takes an escape, or an empty reference.
func TestALongListIsReadAsEncodingJSONReadsIt(t *testing.T) {
	var list []PayoutOutcome
	for i, s := range awkward {
		list = append(list, PayoutOutcome{Payout: fmt.Sprint("p", i), State: "confirmed", Reference: s,
			Holder: Holder(awkward[(i+1)%len(awkward)]), Asset: money.Asset(awkward[(i/2)%len(awkward)]), Amount: money.Atto(int64(i % 3))})
	}
	for from := range list {
		for to := from; to <= len(list); to++ {
			data, err := appendEnvelope(nil, Decision{ID: `,"results":[`, Actor: "a", At: noon, Body: PayoutsConfirmed{Batch: "b", Rail: "csv", Parts: 1, Results: list[from:to:to]}})
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range [][]byte{
				data, bytes.Replace(data, []byte(`"confirmed"}`), []byte(`"confirmed","reference":""}`), 1), bytes.Replace(data, []byte("},{"), []byte("}, {"), 1),
				bytes.Replace(data, []byte(`"payout":"p`), []byte(`"payout":"\u0070`), 1), bytes.Replace(data, []byte(`},{`), []byte(`},,{`), 1), bytes.Replace(data, []byte(`}]}}`), []byte(`},]}}`), 1),
				bytes.Replace(data, []byte(`"confirmed",`), []byte(`"confirmed","reference":"",`), 1), bytes.Replace(data, []byte(`"amount":"0.000000000000000001"`), []byte(`"amount":"0.0000000000000000010"`), 1),
				bytes.Replace(data, []byte(`"amount":"0.000000000000000001"`), []byte(`"amount":"0"`), 1), bytes.Replace(data, []byte(`"amount":"0.000000000000000001"`), []byte(`"amount":1`), 1),
				bytes.Replace(data, []byte(`,"asset":"plain"`), []byte(`,"asset":""`), 1), bytes.Replace(data, []byte(`,"holder":"plain"`), []byte(`,"holder":""`), 1),
			} {
				got, err := DecodeDecision(text)
				want, err2 := decodeDecision(text)
				if (err == nil) != (err2 == nil) || err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %+v, %v; encoding/json says %+v, %v", text, got, err, want, err2)
				}
			}
		}
	}
}

func BenchmarkConfirmation(b *testing.B) {
	body := PayoutsConfirmed{Batch: "UNI:2026-11:csv", Rail: "csv", Parts: 1}
	for i := range 5_000 {
		body.Results = append(body.Results, PayoutOutcome{Payout: fmt.Sprintf("po-%032x", i), State: "confirmed", Reference: "wire 17"})
	}
	data, err := AppendDecision(nil, decisionOf(body))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := AppendDecision(nil, decisionOf(body)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := DecodeDecision(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode by encoding json", func(b *testing.B) {
		for b.Loop() {
			if _, err := decodeDecision(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
