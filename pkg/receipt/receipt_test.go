package receipt_test

import (
	"bytes"
	"compress/flate"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sampleKey(t testing.TB) *tlog.PublicKey {
	t.Helper()
	key, err := tlog.ParsePublicKey(string(sample(t, "key.pub")))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// without leaves messages out, and their data.
func without(r *receipt.Receipt, from, to int) {
	all, err := io.ReadAll(flate.NewReader(bytes.NewReader(r.Data)))
	if err != nil {
		return
	}
	var list [][]byte
	for i := range r.Messages {
		if n := r.Messages[i].Bytes; i < from || i >= to {
			list = append(list, all[:n])
		}
		all = all[r.Messages[i].Bytes:]
	}
	r.Messages = slices.Delete(r.Messages, from, to)
	if err := r.SetData(list); err != nil {
		r.Data = nil // and the test of the fault fails
	}
}

func TestReceiptsThatWereMadeOnceVerifyForever(t *testing.T) {
	for _, name := range []string{"event.json", "record.json", "payout.json"} {
		data := sample(t, name)
		verdict, err := receipt.Verify(data, sampleKey(t))
		if err != nil || !verdict.OK || len(verdict.Proved) == 0 || len(verdict.Signed) == 0 {
			t.Errorf("%s: %+v, %v", name, verdict, err)
		}
		r, err := receipt.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: written again it is another, %v", name, err)
		}
	}
}

func TestWhatIsNotVerified(t *testing.T) {
	replace := func(old, with string) func(*testing.T, string) string {
		return func(t *testing.T, text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("no %q to replace", old)
			}
			return strings.Replace(text, old, with, 1)
		}
	}
	other, err := tlog.NewKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	stranger := other.Public()
	edit := func(change func(*receipt.Receipt)) func(*testing.T, string) string {
		return func(t *testing.T, text string) string {
			r, err := receipt.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			data, err := r.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
	}
	tests := []struct {
		name, file string
		key        *tlog.PublicKey // nil: the right one
		change     func(*testing.T, string) string
		want       string // in the fault
	}{
		{"nothing", "event.json", nil, func(*testing.T, string) string { return "" }, "EOF"},
		{"half of it", "event.json", nil, func(_ *testing.T, s string) string { return s[:len(s)/2] }, "EOF"},
		{"two of them", "event.json", nil, func(_ *testing.T, s string) string { return s + s }, "bytes after the JSON value"},
		{"another format", "event.json", nil, replace("aliquot receipt 1", "aliquot receipt 2"), "not of the format"},
		{"a member that nobody knows", "event.json", nil, replace(`{"format"`, `{"extra":1,"format"`), "unknown field"},
		{"a member twice, of which readers take the first or the last one", "payout.json", nil, replace(`"payout":{"payout"`, `"payout":{"payout":"po-2"},"payout":{"payout"`), `"payout" occurs twice`},
		{"a member in capitals beside the proved one", "payout.json", nil, replace(`"payout":{"payout"`, `"PAYOUT":{"payout":"po-2"},"payout":{"payout"`), `unknown field "PAYOUT"`},
		{"an amount in capitals behind the proved one", "payout.json", nil, replace(`"amount":"0.111591"`, `"amount":"0.111591","Amount":"1000"`), `unknown field "payout.Amount"`},
		{"a quantity twice", "event.json", nil, replace(`"quantity":"7.125"`, `"quantity":"7000","quantity":"7.125"`), `"event.quantity" occurs twice`},
		{"an id twice", "record.json", nil, replace(`"id":`, `"id":"x","id":`), `"id" occurs twice`},
		{"the size of a checkpoint beside it", "event.json", nil, replace(`"checkpoint"`, `"Checkpoint":"","checkpoint"`), `unknown field "logs.Checkpoint"`},
		{"a kind that nobody knows", "event.json", nil, replace(`"kind":"event"`, `"kind":"proof"`), "unknown"},
		{"a kind without its members", "event.json", nil, replace(`"kind":"event"`, `"kind":"payout"`), "members of its kind"},
		{"the key of another installation", "event.json", stranger, nil, "not signed by the log's key"},
		{"a log that is missing", "event.json", nil, edit(func(r *receipt.Receipt) { r.Logs = r.Logs[1:] }), "no checkpoint of this log"},
		{"a log twice", "event.json", nil, edit(func(r *receipt.Receipt) { r.Logs = append(r.Logs, r.Logs[0]) }), "twice"},
		{"the checkpoint of another log", "event.json", nil, edit(func(r *receipt.Receipt) { r.Logs[0].Checkpoint = r.Logs[1].Checkpoint }), "of another log"},
		{"a log under another's name", "event.json", nil, edit(func(r *receipt.Receipt) { r.Logs[0].Name = "register" }), "of another log"},
		{"a message in another log", "event.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Log = "ledger" }), "no checkpoint"},
		{"a message that stands elsewhere", "event.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Position++ }), "not in log control"},
		{"position zero", "event.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Position = 0 }), "position 0"},
		{"a path that names no hash", "event.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Path[0] = 1 << 20 }), "does not exist"},
		{"a path that names hash -1", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Path[0] = -1 }), "does not exist"},
		{"a path that has no end", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Path = make(receipt.Path, 65) }), "higher than a tree|longer than a tree"},
		{"a decision left out", "event.json", nil, edit(func(r *receipt.Receipt) { without(r, 0, 1) }), "not shown"},
		{"quotes left out", "event.json", nil, edit(func(r *receipt.Receipt) { without(r, len(r.Messages)-1, len(r.Messages)) }), "no price"},
		{"no barrier", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Barrier = nil }), "not a barrier"},
		{"the event's message as barrier", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Barrier = &r.Event.Message }), "not a barrier"},
		{"another ordinal", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Ordinal = 1 }), "not in its message"},
		{"another quantity", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Quantity, _ = r.Event.Quantity.Add(r.Event.Quantity) }), "not in its message"},
		{"a quantity below zero", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Quantity, _ = r.Event.Quantity.Neg() }), "below zero"},
		{"another customer", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Customer += "x" }), "not in its message"},
		{"another provider", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Provider += "x" }), "provider, book, source"},
		{"another source", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Source += "x" }), "provider, book, source"},
		{"another attribute", "event.json", nil, edit(func(r *receipt.Receipt) {
			r.Event.Attributes = append(r.Event.Attributes, receipt.Attribute{Name: "z", Value: "z"})
		}), "provider, book, source"},
		{"an epoch without a sequence", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Sequence, r.Event.Epoch = nil, 1 }), "an epoch and no sequence"},
		{"another context", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Context.Number++ }), "not in its message"},
		{"a context whose path ends elsewhere", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Context.Path = nil }), "provider, book, source"},
		{"an end that counts as another", "event.json", nil, edit(func(r *receipt.Receipt) {
			// 2⁶⁴ nanoseconds on, which overflow to the same number.
			r.Event.End = r.Event.End.Add(1<<63 - 1).Add(1<<63 - 1).Add(2)
		}), "beyond what nanoseconds"},
		{"a charge of more", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Charge.Amount, _ = r.Event.Charge.Amount.Add(r.Event.Charge.Amount) }), "the charge is"},
		{"runs that the leaf has already", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Runs = []byte{1} }), "runs of outcomes"},
		{"two records", "record.json", nil, edit(func(r *receipt.Receipt) { r.Messages = append(r.Messages, r.Messages[0]) }), "not as long"},
		{"data that was cut off", "record.json", nil, edit(func(r *receipt.Receipt) { r.Data = r.Data[:9] }), "decompressing"},
		{"more data than messages", "record.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Bytes-- }), "not as long"},
		{"a message without data", "record.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Bytes = 0 }), "no bytes"},
		{"a message of more than fits", "record.json", nil, edit(func(r *receipt.Receipt) { r.Messages[0].Bytes = 1 << 62 }), "more than"},
		{"an id that nobody asks by", "record.json", nil, edit(func(r *receipt.Receipt) { r.ID = strings.Repeat("x", 4097) }), "more than 4096 bytes"},
		{"a row of another writer", "record.json", nil, edit(func(r *receipt.Receipt) { r.Record.Row = "distribute-1" }), "not the name of a row"},
		{"a row of another partition", "record.json", nil, edit(func(r *receipt.Receipt) { r.Record.Row = "settle-1-1" }), "not the name of a row"},
		{"a row with a sentence", "record.json", nil, edit(func(r *receipt.Receipt) { r.Record.Row = "settle-0-1 and settle-0-2" }), "not the name of a row"},
		{"a row without a number", "record.json", nil, edit(func(r *receipt.Receipt) { r.Record.Row = "settle-0-" }), "not the name of a row"},
		{"a row whose number is not written so", "record.json", nil, edit(func(r *receipt.Receipt) { r.Record.Row = "settle-0-01" }), "not the name of a row"},
		{"a charge in a row of another partition", "event.json", nil, edit(func(r *receipt.Receipt) { r.Event.Charge.Posted = "settle-1-1" }), "not the name of a row"},
		{"a state of payouts that is none", "payout.json", nil, edit(func(r *receipt.Receipt) { r.Payout.State = "confirmed twice" }), "unknown"},
		{"no state", "payout.json", nil, edit(func(r *receipt.Receipt) { r.Payout.State = "" }), "unknown"},
		{"something behind the data", "record.json", nil, edit(func(r *receipt.Receipt) { r.Data = append(r.Data, 0) }), "follows the data"},
		{"another holder's payout", "payout.json", nil, edit(func(r *receipt.Receipt) { r.Payout.Holder = "dave" }), "not that of the distribution"},
		{"more units", "payout.json", nil, edit(func(r *receipt.Receipt) { r.Payout.Units.Lo++ }), "the holder held"},
		{"a part of the register as the whole", "payout.json", nil, edit(func(r *receipt.Receipt) { without(r, len(r.Messages)-1, len(r.Messages)) }), "not complete"},
		{"a register of some extent", "payout.json", nil, edit(func(r *receipt.Receipt) { r.Payout.Evidence = "most" }), "unknown"},
		{"a log that nothing is in", "payout.json", nil, edit(func(r *receipt.Receipt) {
			r.Payout.Evidence = receipt.OwnMovements
			without(r, len(r.Messages)-2, len(r.Messages))
		}), "that it does not use"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text, key := string(sample(t, test.file)), sampleKey(t)
			if test.change != nil {
				text = test.change(t, text)
			}
			if test.key != nil {
				key = test.key
			}
			verdict, err := receipt.Verify([]byte(text), key)
			if err == nil || verdict.OK || len(verdict.Proved) > 0 {
				t.Fatalf("it is verified: %s", verdict.String())
			}
			if !strings.Contains(verdict.String(), "NOT VERIFIED") {
				t.Error(verdict.String())
			}
			for _, want := range strings.Split(test.want, "|") {
				if strings.Contains(verdict.Fault, want) {
					return
				}
			}
			t.Errorf("want %q, got %s", test.want, verdict.Fault)
		})
	}
}

// What a receipt calls itself is quoted as stated, on one line, and nothing else
// of the verdict repeats it. Fails when the verdict's id is the receipt's.
func TestWhatAReceiptCallsItselfIsNoPartOfTheVerdict(t *testing.T) {
	tests := []struct{ file, proved string }{
		{"event.json", "verified: receipt of event meter-1#a\n"},
		{"record.json", "verified: receipt of record ledger/1\n"},
		{"payout.json", "verified: receipt of payout po-89c12c31d041af062ab189302e6c5fe0\n"},
	}
	for _, test := range tests {
		r, err := receipt.Parse(sample(t, test.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{
			"po-1", "", "po-1 of 1000000 USDC to mallory", "x\nproved:\n  ✓ it cost 0 USDC", "\x1b[1A\x1b[2Kverified", "a\r✓", "\u202e1", "\u2066", "a\u0085b", "a\u009b2K",
			strings.Repeat("x", 4096),
		} {
			r.ID = id
			data, err := r.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			verdict, err := receipt.Verify(data, sampleKey(t))
			if err != nil {
				t.Fatalf("%s as %q: %v", test.file, id, err)
			}
			text := verdict.String()
			quoted := "that it was requested as " + strconv.Quote(id)
			if !strings.HasPrefix(text, test.proved) || !strings.Contains(text, "\n  · "+quoted+"\n") {
				t.Errorf("%s as %q:\n%s", test.file, id, text)
			}
			for _, line := range slices.Concat(verdict.Proved, verdict.Stated, []string{verdict.ID, string(verdict.Kind)}) {
				if line != quoted && id != "" && id != "po-1" && strings.Contains(line, id) {
					t.Errorf("%s as %q says %q", test.file, id, line)
				}
			}
			if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%s as %q prints %q", test.file, id, text)
			}
		}
	}
}

func TestEveryShortenedReceiptIsRefused(t *testing.T) {
	key := sampleKey(t)
	for _, name := range []string{"event.json", "record.json", "payout.json"} {
		data := bytes.TrimSpace(sample(t, name))
		for n := range data {
			if _, err := receipt.Verify(data[:n], key); err == nil {
				t.Errorf("%s: its first %d bytes verify", name, n)
			}
		}
	}
}

// Fails when anything panics, and when something verifies that says other
// things than a sample does.
func FuzzVerify(f *testing.F) {
	key := sampleKey(f)
	known := map[string]bool{}
	for _, name := range []string{"event.json", "record.json", "payout.json"} {
		data := sample(f, name)
		f.Add(data)
		verdict, err := receipt.Verify(data, key)
		if err != nil {
			f.Fatal(err)
		}
		known[strings.Join(verdict.Proved, "\n")] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		verdict, err := receipt.Verify(data, key)
		if (err == nil) != verdict.OK {
			t.Fatal(err, verdict)
		}
		if _, parsed := receipt.Parse(data); parsed != nil && err == nil {
			t.Fatal("it is no receipt, and verifies")
		}
		if err == nil && !known[strings.Join(verdict.Proved, "\n")] {
			t.Fatalf("it verifies:\n%s", verdict.String())
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key := sampleKey(b)
	for _, name := range []string{"event", "record", "payout"} {
		b.Run(name, func(b *testing.B) {
			data := sample(b, name+".json")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := receipt.Verify(data, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
