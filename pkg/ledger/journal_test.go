package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/money"
)

func journalOf(t *testing.T, records ...Record) *Journal {
	t.Helper()
	j := NewJournal()
	for i := range records {
		if err := j.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// The text is written out here by hand, so that the hash can be computed again
// with sort and sha256sum alone.
func TestTheJournalHashIsThatOfTheSortedText(t *testing.T) {
	lines := []string{
		"acme\t2026-11\t2026-10\tcustomer:lab:receivable\tnode:gpu-1:earned\tUSDC\tgpu@2\tchainlink#36893488147419103823\t170141183460469231731.687303715884105727\n",
		"acme\t2026-11\t2026-11\tcustomer:lab:receivable\tnode:gpu-1:earned\tUSDC\tgpu@2\tchainlink#36893488147419103823\t1.99\n",
		"acme\t2026-11\t2026-11\tcustomer:lab:receivable\tnode:gpu-2:earned\tUSDC\tgpu@2\tchainlink#36893488147419103823\t0.000000000000000001\n",
		"acme\t2026-11\t2026-11\ttreasury:USDC\tcustomer:lab:prepaid\tUSDC\t\t\t1000\n",
	}
	if !slices.IsSorted(lines) {
		t.Fatal("the text is not sorted")
	}
	want := sha256.Sum256([]byte(strings.Join(lines, "")))
	if got := journalOf(t, sample()).Hash(); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	empty := NewJournal().Hash()
	if got := hex.EncodeToString(empty[:]); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("the empty journal has %s", got)
	}
}

// Fails when the cut, the meter or the number of events enters the line.
func TestTheJournalHashDoesNotSeeHowTheInputWasCut(t *testing.T) {
	whole := many(1_000)
	want := journalOf(t, whole).Hash()
	parts := Split(whole, 3_000)
	slices.Reverse(parts)
	for i := range parts {
		parts[i].Cut = uint64(i)
		parts[i].Control = uint64(i)
	}
	if got := journalOf(t, parts...).Hash(); got != want {
		t.Error("differs after splitting and reordering")
	}
	once := sample()
	half := sample()
	half.Entries = half.Entries[:1]
	half.Entries[0].Postings = []Posting{charge("lab", "gpu-1", "0.99"), charge("lab", "gpu-2", "0.000000000000000001")}
	rest := sample()
	rest.Entries[0].Postings = []Posting{charge("lab", "gpu-1", "1")}
	if journalOf(t, half, rest).Hash() != journalOf(t, once).Hash() {
		t.Error("differs where one line was posted in two cuts")
	}
}

func TestTheJournalHashSeesEveryFieldOfALine(t *testing.T) {
	base := journalOf(t, sample())
	for _, c := range []struct {
		why    string
		change func(*Record)
	}{
		{"the book", func(r *Record) {
			r.Book = "other"
			for i := range r.Entries {
				r.Entries[i].Book = "other"
			}
		}},
		{"the period", func(r *Record) { r.Entries[0].Period = "2026-12" }},
		{"the origin", func(r *Record) { r.Entries[0].Origin = "2026-12" }},
		{"the debited account", func(r *Record) { r.Entries[0].Postings[0].Debit = CustomerReceivable("other") }},
		{"the credited account", func(r *Record) { r.Entries[0].Postings[0].Credit = NodeEarned("other") }},
		{"the asset", func(r *Record) { r.Entries[0].Postings[0].Asset = "USDT" }},
		{"the card", func(r *Record) { r.Entries[0].Postings[0].Card = "gpu@3" }},
		{"the quote", func(r *Record) { r.Entries[0].Postings[0].Quote = "fixed" }},
		{"one atto", func(r *Record) { r.Entries[0].Postings[0].Amount = amount("1.990000000000000001") }},
	} {
		r := sample()
		c.change(&r)
		other := journalOf(t, r)
		if other.Hash() == base.Hash() {
			t.Errorf("%s does not change the hash", c.why)
		}
		if _, _, _, equal := base.difference(other); equal {
			t.Errorf("%s is no difference", c.why)
		}
	}
}

func TestTheFirstDifferenceOfTwoJournalsIsNamed(t *testing.T) {
	r := sample()
	r.Entries[0].Postings[1].Amount = amount("7")
	r.Entries[2].Postings[0].Amount = amount("999")
	line, here, there, equal := journalOf(t, sample()).difference(journalOf(t, r))
	if equal || line.Credit != "node:gpu-2:earned" || here != amount("0.000000000000000001") || there != amount("7") {
		t.Errorf("got %+v: %v and %v", line, here, there)
	}
	if _, _, _, equal := journalOf(t, sample()).difference(journalOf(t, sample())); !equal {
		t.Error("equal journals differ")
	}
}

func TestAJournalRefusesWhatItsTextCannotTellApart(t *testing.T) {
	r := sample()
	r.Entries[0].Postings[0].Quote = "a\tb"
	if err := NewJournal().Add(&r); err == nil {
		t.Error("a tab in a field was added")
	}
	r = sample()
	r.Entries[1].Origin = "2026-11"
	if err := NewJournal().Add(&r); err == nil || !strings.Contains(err.Error(), "overflow") {
		t.Errorf("an overflow gave %v", err)
	}
}

func TestBalancesAreTheFoldOfThePostings(t *testing.T) {
	b := NewBalances()
	r := many(1_000)
	if err := b.AddRecord(&r); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckBalanced(); err != nil {
		t.Fatal(err)
	}
	if got := b.Of("customer:customer-41:receivable", "USDC"); got != (Balance{Debit: amount("42.5")}) {
		t.Errorf("customer 41 has %+v", got)
	}
	// Node 1 has the customers 1, 301, 601 and 901.
	if got := b.Of(NodeEarned("node-1"), "USDC"); got.Net() != amount("-1810") || got.Credit != amount("1810") {
		t.Errorf("node 1 has %+v", got)
	}
	var last Place
	n := 0
	for at := range b.All() {
		if n > 0 && last.Compare(at) >= 0 {
			t.Errorf("%v after %v", at, last)
		}
		last = at
		n++
	}
	if n != 1_300 {
		t.Errorf("%d places", n)
	}
}

// Fails when a refused posting has changed its debit side already.
func TestARefusedPostingChangesNothing(t *testing.T) {
	b := NewBalances()
	most := charge("lab", "gpu-1", "170141183460469231731.687303715884105727")
	if err := b.Add(&most); err != nil {
		t.Fatal(err)
	}
	next := charge("other", "gpu-1", "0.000000000000000001")
	if err := b.Add(&next); err == nil {
		t.Error("an overflow was posted")
	}
	zero := charge("lab", "gpu-1", "0")
	if err := b.Add(&zero); err == nil {
		t.Error("nothing was posted")
	}
	if got := b.Of(CustomerReceivable("other"), "USDC"); got != (Balance{}) {
		t.Errorf("half a posting is there: %+v", got)
	}
}

func TestAStoredRowThatWasChangedIsFound(t *testing.T) {
	b, stored := NewBalances(), NewBalances()
	r := sample()
	r.Entries = r.Entries[:1]
	if err := b.AddRecord(&r); err != nil {
		t.Fatal(err)
	}
	for at, row := range b.All() {
		if at.Account == NodeEarned("gpu-2") {
			row.Credit = amount("0.000000000000000002")
		}
		if err := stored.AddRow(at, row); err != nil {
			t.Fatal(err)
		}
	}
	if err := stored.CheckBalanced(); err == nil || !strings.Contains(err.Error(), "USDC") {
		t.Errorf("unbalanced rows gave %v", err)
	}
	if at, equal := b.Difference(stored); equal || at.Account != "node:gpu-2:earned" {
		t.Errorf("the difference is %v", at)
	}
	if err := stored.AddRow(Place{}, Balance{Debit: amount("-1")}); err == nil {
		t.Error("a negative side was added")
	}
}

func TestAccountsAreSplitIntoWhatTheyAreMadeOf(t *testing.T) {
	for _, c := range []struct {
		account Account
		kind    AccountKind
		id      string
		part    Part
	}{
		{CustomerPrepaid("lab"), "customer", "lab", "prepaid"},
		{CustomerReceivable("a:b"), "customer", "a:b", "receivable"},
		{NodeEarned("n"), "node", "n", "earned"},
		{NodeCollected(":"), "node", ":", "collected"},
		{ProviderPayable("p"), "provider", "p", "payable"},
		{TokenInbox("t"), "token", "t", "inbox"},
		{TokenPool("t"), "token", "t", "pool"},
		{HolderPayable("0xab"), "holder", "0xab", "payable"},
		{HolderHeld("h"), "holder", "h", "held"},
		{Treasury("USDC"), "treasury", "USDC", ""},
		{RailInFlight("csv"), "rail", "csv", "in_flight"},
		{RailPaid("csv"), "rail", "csv", "paid"},
		{PlatformFees, "platform", "", "fees"},
		{"customer:lab", "", "", ""},
		{"customer::prepaid", "", "", ""},
		{"customer:lab:held", "", "", ""},
		{"treasury:", "", "", ""},
		{"platform:x", "", "", ""},
		{"", "", "", ""},
	} {
		kind, id, part := c.account.Split()
		if kind != c.kind || id != c.id || part != c.part {
			t.Errorf("%q: %q %q %q", c.account, kind, id, part)
		}
	}
}

func TestACheckOfAPostingThatIsValidAllocatesNothing(t *testing.T) {
	p := charge("lab", "gpu-1", "1")
	if n := testing.AllocsPerRun(100, func() {
		if p.Valid() != nil {
			t.Fatal("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// sum is zero where there is no such line.
func (j *Journal) sum(l Line) (sum money.Amount) {
	if known := j.sums[l]; known != nil {
		sum = *known
	}
	return sum
}

// difference returns the first line in which two journals differ, with the sum
// that each has of it (zero where it has none); equal is true where they do not.
func (j *Journal) difference(other *Journal) (line Line, here, there money.Amount, equal bool) {
	equal = true
	consider := func(l Line) {
		if a, b := j.sum(l), other.sum(l); a != b && (equal || l.compare(&line) < 0) {
			line, here, there, equal = l, a, b, false
		}
	}
	// map order: the least line wins.
	for l := range j.sums {
		consider(l)
	}
	// map order: the least line wins.
	for l := range other.sums {
		consider(l)
	}
	return line, here, there, equal
}
