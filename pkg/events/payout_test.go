package events

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
)

var everyPaid = []Paid{
	DistributionMade{Distribution: "d1", Token: "GPU1", Period: "2026-11", Control: 99, Holders: 252_803, Supply: units("149999999975656000000000000"), Totals: []DistributedAsset{{
		Asset: "USDC", Inbox: amount("1000"), Fee: amount("25"), Pool: amount("975"), Payable: amount("974.5"), Held: amount("0.5"), Planned: amount("974"), Carried: amount("0.500000000000000001"),
	}}},
	PayoutsPlanned{Distribution: "d1", Token: "GPU1", Rail: "csv", Control: 99, Part: 0, Parts: 2, Payouts: []PlannedPayout{{Payout: "po-1", Holder: wallet, Asset: "USDC", Amount: amount("974")}}},
	PayoutsChanged{Control: 100, Batch: "b1", Rail: "csv", Part: 0, Parts: 1, Changes: []PayoutOutcome{{Payout: "po-1", State: "submitted"}, {Payout: "po-2", State: "confirmed", Reference: "0xabc"}}},
	PayoutRunMade{Run: "GPU1:run:1", Token: "GPU1", Control: 99, Totals: []PayoutRunAsset{{Asset: "USDC", Payouts: 2, Planned: amount("974"), Carried: amount("0.500000000000000001"), Held: amount("3")}}},
}

func TestMessagesOfPayoutKeepTheirBytesForever(t *testing.T) {
	for _, p := range everyPaid {
		data, err := AppendPaid([]byte("before"), p)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.TrimPrefix(data, []byte("before"))
		golden.Compare(t, "paid-v1/"+p.Kind()+".json", data)
		back, err := DecodePaid(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, p) {
			t.Errorf("decoded\n%+v, encoded\n%+v", back, p)
		}
	}
	for why, data := range map[string]string{
		"nothing": ``, "an unknown kind": `{"v":1,"kind":"paid","body":{}}`, "a later version": `{"v":2,"kind":"payouts_changed","body":{}}`,
		"an unknown member": `{"v":1,"kind":"payouts_changed","body":{"x":1}}`, "members left out": `{"v":1,"kind":"payouts_changed","body":{}}`, "a record of the journal": "L\x01",
	} {
		if _, err := DecodePaid([]byte(data)); err == nil {
			t.Errorf("%s was decoded", why)
		}
	}
	large := PayoutsPlanned{Payouts: make([]PlannedPayout, 20_000)}
	if _, err := AppendPaid(nil, large); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("20,000 payouts in one message: %v", err)
	}
}

func FuzzDecodePaid(f *testing.F) {
	for _, p := range everyPaid {
		data, err := AppendPaid(nil, p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePaid(data)
		if err != nil {
			return
		}
		if again, err := AppendPaid(nil, p); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("one message has two texts: %s and %s (%v)", data, again, err)
		}
	})
}

func TestARefusedSubmissionIsKeptInBounds(t *testing.T) {
	small := NewRefused("acme", "provider:acme-1", noon, "application/json", []byte("{\"a\":\xff\x00"), []Refusal{
		{Index: -1, Line: 1, Reason: Malformed, Detail: "not JSON"},
	})
	data, err := AppendRefused(nil, small)
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "refused-v1.json", data)
	back, err := DecodeRefused(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, small) {
		t.Errorf("decoded\n%+v, encoded\n%+v", back, small)
	}

	var refusals []Refusal
	for i := range 10_000 {
		reason := Negative
		if i%4 == 0 {
			reason = BadNumber
		}
		refusals = append(refusals, Refusal{Index: i, ID: strings.Repeat("é\xff", 500), Field: "data.quantity", Reason: reason, Detail: strings.Repeat("€", 500)})
	}
	large := NewRefused("acme", "a", noon, strings.Repeat("x", 10_000), make([]byte, 1<<20), refusals)
	if large.Events != 10_000 || len(large.First) != MaxRefusals || len(large.Head) != MaxHead || large.Size != 1<<20 {
		t.Errorf("%d events, %d first, %d bytes of %d", large.Events, len(large.First), len(large.Head), large.Size)
	}
	if want := []ReasonCount{{BadNumber, 2_500}, {Negative, 7_500}}; !reflect.DeepEqual(large.Counts, want) {
		t.Errorf("counts %v", large.Counts)
	}
	if !utf8.ValidString(large.First[0].ID) || !utf8.ValidString(large.First[0].Detail) {
		t.Error("cut inside a character")
	}
	if data, err = AppendRefused(nil, large); err != nil || len(data) > 200_000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := DecodeRefused(data); err != nil {
		t.Error(err)
	}
	nothing := NewRefused("", "", noon, "", nil, nil)
	if data, err = AppendRefused(nil, nothing); err != nil {
		t.Fatal(err)
	}
	if back, err = DecodeRefused(data); err != nil || !reflect.DeepEqual(back, nothing) {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzDecodeRefused(f *testing.F) {
	data, err := AppendRefused(nil, NewRefused("acme", "a", noon, "m", []byte("x"), []Refusal{{Reason: Malformed}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRefused(data)
		if err != nil {
			return
		}
		if again, err := AppendRefused(nil, r); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("one message has two texts: %s and %s (%v)", data, again, err)
		}
	})
}

// What comes from outside never keeps a refusal from being written down.
func FuzzRefusedTakesEverything(f *testing.F) {
	f.Add([]byte("body"), "id", "detail\xff")
	f.Fuzz(func(t *testing.T, body []byte, id, detail string) {
		r := NewRefused(Provider(id), Actor(detail), noon, id, body, []Refusal{{ID: id, Field: id, Reason: BadText, Detail: detail}})
		data, err := AppendRefused(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeRefused(data)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(back) != fmt.Sprint(r) {
			t.Fatalf("%v became %v", r, back)
		}
	})
}
