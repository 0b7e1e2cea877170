package ledger

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

var update = flag.Bool("update", false, "rewrite the golden bytes; review the difference: what was written once must stay readable")

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

func charge(customer events.Customer, node events.Node, sum string) Posting {
	return Posting{
		Debit: CustomerReceivable(customer), Credit: NodeEarned(node), Asset: "USDC", Amount: amount(sum),
		Card: "gpu@2", Quote: "chainlink#36893488147419103823", Meter: "gpu.seconds", Quantity: quantity("3600.5"), Events: 12,
	}
}

func sample() Record {
	return Record{
		Partition: 0, Cut: 1_200, Control: 17, Part: 0, Parts: 1, Book: "acme",
		Entries: []Entry{
			{Book: "acme", Kind: "usage", Period: "2026-11", Origin: "2026-11", Postings: []Posting{charge("lab", "gpu-1", "1.99"), charge("lab", "gpu-2", "0.000000000000000001")}},
			{Book: "acme", Kind: "usage", Period: "2026-11", Origin: "2026-10", Postings: []Posting{charge("lab", "gpu-1", "170141183460469231731.687303715884105727")}},
			{Book: "acme", Kind: "deposit", Period: "2026-11", Origin: "2026-11", Ref: "control:17", Postings: []Posting{{Debit: Treasury("USDC"), Credit: CustomerPrepaid("lab"), Asset: "USDC", Amount: amount("1000")}}},
		},
		Settled: []events.Period{"2026-10"},
	}
}

func TestRecordsKeepTheirBytesForever(t *testing.T) {
	for name, r := range map[string]Record{"record-v1-full": sample(), "record-v1-empty": {Parts: 1}, "record-v1-part": {Partition: 7, Cut: 1<<64 - 1, Control: 1 << 40, Part: 3, Parts: 4, Book: "b"}} {
		t.Run(name, func(t *testing.T) {
			data, err := AppendRecord([]byte("before"), &r)
			if err != nil {
				t.Fatal(err)
			}
			data = bytes.TrimPrefix(data, []byte("before"))
			path := filepath.Join("testdata", name+".hex")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(data) + "\n"; got != string(want) {
				t.Errorf("got %s, want %s", got, want)
			}
			back, err := DecodeRecord(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, r) {
				t.Errorf("decoded\n%+v, encoded\n%+v", back, r)
			}
			if !IsRecord(data) {
				t.Error("is no record")
			}
		})
	}
}

func TestEncodingRefusesWhatIsNoRecord(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*Record)
		want   string
	}{
		{"a part beyond the parts", func(r *Record) { r.Part = 1 }, "part 1 of 1"},
		{"an entry of another book", func(r *Record) { r.Entries[1].Book = "other" }, "book"},
		{"nothing moved", func(r *Record) { r.Entries[0].Postings[0].Amount = money.Amount{} }, "not above zero"},
		{"money moved back", func(r *Record) { r.Entries[0].Postings[0].Amount = amount("-1") }, "not above zero"},
		{"a quantity below zero", func(r *Record) { r.Entries[0].Postings[0].Quantity = quantity("-1") }, "negative"},
		{"a posting to itself", func(r *Record) { r.Entries[0].Postings[0].Debit = r.Entries[0].Postings[0].Credit }, "itself"},
		{"an account of no kind", func(r *Record) { r.Entries[0].Postings[0].Debit = "pocket:mine:cash" }, "not an account"},
		{"no asset", func(r *Record) { r.Entries[0].Postings[0].Asset = "" }, "asset"},
		{"a name of 2,000 bytes", func(r *Record) { r.Entries[0].Ref = strings.Repeat("x", 2000) }, "more than 1024"},
	} {
		r := sample()
		c.change(&r)
		if _, err := AppendRecord(nil, &r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.why, err, c.want)
		}
	}
}

func TestDecodingRefusesEveryShortenedRecord(t *testing.T) {
	r := sample()
	data, err := AppendRecord(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := DecodeRecord(data[:n]); err == nil {
			t.Errorf("decoded the first %d bytes of %d", n, len(data))
		}
	}
	for _, c := range []struct{ why, hex, want string }{
		{"another magic", "4d01", "not a record"},
		{"a later version", "4c02", "version 2"},
		{"a number in more bytes than needed", "4c0180000000", "shortest form"},
		{"a string before its first use", "4c01000000000105", "only 0 have been seen"},
		{"a string twice", "4c0100000000010001620101016200", "written twice"},
		{"bytes after it", "4c010000000001000000" + "00" + "ff", "after the record"},
		{"more entries than bytes", "4c010000000001000000" + "ffff03", "do not fit"},
		{"a number of 65 bits", "4c01ffffffffffffffffff02", "64 bits"},
	} {
		raw, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRecord(raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.why, err, c.want)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []Record{sample(), {Parts: 1}, {Part: 1, Parts: 2, Book: "b", Entries: []Entry{{Book: "b", Kind: "usage"}}}} {
		data, err := AppendRecord(nil, &r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecord(data)
		if err != nil {
			return
		}
		again, err := AppendRecord(nil, &r)
		if err != nil {
			t.Fatalf("decoded what cannot be encoded: %v", err)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("one record has two encodings:\n%x\n%x", data, again)
		}
	})
}

// many returns a record of n charges of as many customers, in entries of 100.
func many(n int) Record {
	r := Record{Cut: 1 << 40, Control: 1 << 40, Parts: 1, Book: "acme", Settled: []events.Period{"2026-10"}}
	for i := range n {
		if i%100 == 0 {
			// The refs are long, so that Split is seen to count them.
			r.Entries = append(r.Entries, Entry{Book: "acme", Kind: "usage", Period: "2026-11", Origin: "2026-11", Ref: fmt.Sprintf("%0500d", i)})
		}
		e := &r.Entries[len(r.Entries)-1]
		e.Postings = append(e.Postings, charge(events.Customer(fmt.Sprintf("customer-%d", i)), events.Node(fmt.Sprintf("node-%d", i%300)), fmt.Sprintf("%d.5", i+1)))
	}
	return r
}

// Fails when Split drops the posting at which a part is full (first = j + 1),
// when it does not begin a new part there (no append to parts), and when the
// sizer forgets a string of the entry (startEntry without Ref).
func TestSplitKeepsEveryPostingInOrderWithinTheLimit(t *testing.T) {
	for _, limit := range []int{2_000, 4_096, 10_007, 100_000, MaxRecord} {
		for _, n := range []int{0, 1, 99, 100, 101, 5_000} {
			r := many(n)
			var got []Posting
			parts := Split(r, limit)
			for i, p := range parts {
				data, err := AppendRecord(nil, &p)
				if err != nil {
					t.Fatal(err)
				}
				if len(data) > limit {
					t.Errorf("limit %d, %d postings: part %d has %d bytes", limit, n, i, len(data))
				}
				if p.Part != i || p.Parts != len(parts) || p.Cut != r.Cut || p.Control != r.Control || p.Book != r.Book {
					t.Errorf("part %d has the header %+v", i, p)
				}
				if last := i == len(parts)-1; last != (len(p.Settled) == 1) {
					t.Errorf("part %d of %d names %d periods settled", i, len(parts), len(p.Settled))
				}
				for _, e := range p.Entries {
					if e.Kind != "usage" || e.Period != "2026-11" {
						t.Errorf("entry %+v", e)
					}
					got = append(got, e.Postings...)
				}
				if i < len(parts)-1 && len(data) < limit*3/4-900 {
					t.Errorf("limit %d: part %d has only %d bytes", limit, i, len(data))
				}
			}
			var want []Posting
			for _, e := range r.Entries {
				want = append(want, e.Postings...)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("limit %d: %d postings became %d", limit, n, len(got))
			}
			if limit == MaxRecord && n <= 100 && !reflect.DeepEqual(parts, []Record{r}) {
				t.Errorf("a record that fits was changed: %+v", parts)
			}
		}
	}
}

func TestAPostingThatFitsNowhereStandsAlone(t *testing.T) {
	parts := Split(many(3), 10)
	if len(parts) != 3 {
		t.Errorf("%d parts of 3 postings", len(parts))
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	r := many(5_000)
	var data []byte
	for b.Loop() {
		data, _ = AppendRecord(data[:0], &r)
	}

	b.SetBytes(int64(len(data)))
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := many(5_000)
	data, _ := AppendRecord(nil, &r)
	for b.Loop() {
		if _, err := DecodeRecord(data); err != nil {
			b.Fatal(err)
		}
	}
}
