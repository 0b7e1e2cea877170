package acceptance

import (
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

const zeroAddress = "0x0000000000000000000000000000000000000000"

// sanctioned is the one holder of the list who is on the published one.
const sanctioned = "0xdcbeffbecce100cce9e4b153c4e15cb885643193"

// apportioned divides a pool of atto by largest remainder, ties in ascending
// order of holder, with numbers of any size.
func apportioned(pool *big.Int, units map[string]*big.Int) map[string]*big.Int {
	type rest struct {
		holder string
		n      *big.Int
	}
	supply, left := new(big.Int), new(big.Int).Set(pool)
	for _, u := range units {
		supply.Add(supply, u)
	}
	shares, rests := make(map[string]*big.Int, len(units)), make([]rest, 0, len(units))
	for holder, u := range units {
		whole, n := new(big.Int).QuoRem(new(big.Int).Mul(pool, u), supply, new(big.Int))
		shares[holder] = whole
		left.Sub(left, whole)
		rests = append(rests, rest{holder, n})
	}
	slices.SortFunc(rests, func(a, b rest) int {
		if c := b.n.Cmp(a.n); c != 0 {
			return c
		}
		return strings.Compare(a.holder, b.holder)
	})
	for _, r := range rests[:left.Int64()] {
		shares[r.holder].Add(shares[r.holder], big.NewInt(1))
	}
	return shares
}

// statement is what a holder is told.
type statement struct {
	Shares []struct{ Share, Held, Amount, State, Units string }
	Totals []struct {
		Shares, Paid, Carried, Held string
		InFlight                    string `json:"in_flight"`
	}
}

// "The UNI list as a register: a pool of 1,000,000 USDC over 252,802 holders
// sums to the pool to the last unit, one holder is held, and statements agree."
//
// Fails when a share is rounded by itself, when a tie is broken otherwise, and
// when the held holder is paid or takes another's payment along.
func TestAMillionOverTheUNIHolders(t *testing.T) {
	t.Parallel()
	claims, list := published.Path(t, "5-holders/uniswap-uni-claims-252803.csv"), published.Path(t, "7-compliance/ofac-2024-09-27-ETH.txt")
	dir := t.TempDir()
	s := up(t, dir)
	on := func(arguments ...string) said { return aliquot(t, append(arguments, "--data", dir, "--json")...) }
	s.declare(strings.Replace(declarations([]string{"n0"}, []string{"c0"}), "fee: 2.5%", "fee: 0%", 1))
	if _, err := s.send(batched, fmt.Appendf(nil, `[{"specversion":"1.0","type":"aliquot.usage","source":"/s","id":"1",
		"data":{"node":"n0","customer":"c0","meter":"unit","quantity":"1000000","start":"2024-05-01T00:00:00Z","end":"2024-05-01T01:00:00Z"}}]`)); err != nil {
		t.Fatal(err)
	}
	s.settled()
	on("deposit", "--book", book, "--outstanding", "--reference", "r1").ok(t)
	on("period", "close", book, "2024-05-01").ok(t)
	// The list gives the zero address 400 UNI, which nobody can claim.
	if refused := on("register", "import", claims, "--token", "T1"); refused.code == 0 || !strings.Contains(refused.err, "line 2: holder: is the zero address") {
		t.Errorf("imported as it is: %+v", refused)
	}
	if refused := on("register", "import", claims, "--token", "T1", "--leave-out-zero", "--expected-supply", "149999999975656000000000000"); refused.code == 0 || !strings.Contains(refused.err, "400000000000000000000 fewer") {
		t.Errorf("imported beside its pot: %+v", refused)
	}
	on("register", "import", claims, "--token", "T1", "--leave-out-zero", "--expected-supply", "149999599975656000000000000").ok(t)
	var screened struct{ Entries, Matches int }
	on("holds", "import", list, "--list", "ofac").ok(t).into(t, &screened)
	if screened.Entries != 152 || screened.Matches != 1 {
		t.Errorf("screening: %+v", screened)
	}
	var made struct {
		Pool, Planned, Held, Supply string
		Holders, Payouts            int
	}
	declare := []string{"distribution", "declare", "--token", "T1", "--period", "2024-05-01"}
	declared := on(declare...)
	// A busy machine distributes for minutes, and a request waits for two of them.
	for end := time.Now().Add(3 * patience); strings.Contains(declared.err, "it is safe to send the same request again") && time.Now().Before(end); {
		declared = on(declare...)
	}
	declared.ok(t).into(t, &made)
	if made.Pool != "1000000" || made.Holders != 252_802 || made.Supply != "149999599975656000000000000" {
		t.Fatalf("distribution: %+v", made)
	}

	units := make(map[string]*big.Int, made.Holders)
	for _, row := range rows(t, claims) {
		n, ok := new(big.Int).SetString(row["amount_wei"], 10)
		if !ok {
			t.Fatalf("row %v", row)
		}
		if row["account"] != zeroAddress {
			units[strings.ToLower(row["account"])] = n
		}
	}
	pool, _ := new(big.Int).SetString("1000000000000000000000000", 10)
	want := apportioned(pool, units)
	toMinor := new(big.Int).Exp(big.NewInt(10), big.NewInt(12), nil)

	file := filepath.Join(t.TempDir(), "payouts.csv")
	on("payout", "export", "--distribution", "T1:2024-05-01", "-o", file).ok(t)
	paid, held := exported(t, file), want[sanctioned]
	sum := new(big.Int)
	for holder, share := range want {
		minor := new(big.Int).Quo(share, toMinor)
		got := paid[holder]
		if holder == sanctioned || minor.Sign() == 0 {
			if got != nil {
				t.Errorf("%s is paid %s", holder, got)
			}
			continue
		}
		if got == nil || got.Cmp(minor.Mul(minor, toMinor)) != 0 {
			t.Fatalf("%s is paid %v, its share is %s", holder, got, share)
		}
		sum.Add(sum, got)
	}
	if got := atto(t, made.Planned); got.Cmp(sum) != 0 || made.Payouts != len(paid) {
		t.Errorf("%d payouts of %s planned, %d of %s in the file", made.Payouts, made.Planned, len(paid), sum)
	}
	if got := atto(t, made.Held); got.Cmp(held) != 0 {
		t.Errorf("held %s, its share is %s", made.Held, held)
	}
	on("payout", "confirm", answers(t, file), "--batch", "T1:2024-05-01:csv").ok(t)

	// One who is held, one with the largest share, one at the least address.
	largest := sanctioned
	for holder, share := range want {
		if share.Cmp(want[largest]) > 0 {
			largest = holder
		}
	}
	for _, holder := range []string{sanctioned, largest, "0x0000000000000000000000000000000000000001"} {
		var told statement
		on("statement", "holder", holder).ok(t).into(t, &told)
		if len(told.Shares) != 1 || len(told.Totals) != 1 {
			t.Fatalf("%s: %+v", holder, told)
		}
		is := func(what, said string, n *big.Int) {
			if atto(t, said).Cmp(n) != 0 {
				t.Errorf("%s: %s %s, want %s atto", holder, what, said, n)
			}
		}
		nothing, total := new(big.Int), told.Totals[0]
		is("share", told.Shares[0].Share, want[holder])
		if holder == sanctioned {
			is("held", total.Held, want[holder])
			is("paid", total.Paid, nothing)
			continue
		}
		is("paid", total.Paid, paid[holder])
		is("carried", total.Carried, new(big.Int).Sub(want[holder], paid[holder]))
		is("held", total.Held, nothing)
		is("in flight", total.InFlight, nothing)
	}
	s.clean(!testing.Short())
	s.stop()

	// And every share, as it is stored.
	conn, err := sqlite.OpenConn(filepath.Join(dir, "ledger.db"), sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n := 0
	sum.SetInt64(0)
	err = sqlitex.ExecuteTransient(conn, "SELECT holder, amount FROM share", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		var b [16]byte
		row.ColumnBytes(1, b[:])
		share := atto(t, money.AmountFromBytes(b).String())
		if holder := row.ColumnText(0); want[holder] == nil || share.Cmp(want[holder]) != 0 {
			return fmt.Errorf("%s has %s, want %s", holder, share, want[holder])
		}
		sum.Add(sum, share)
		n++
		return nil
	}})
	if err != nil || n != len(want) || sum.Cmp(pool) != 0 {
		t.Fatalf("%d shares of %s: %v", n, sum, err)
	}
}

// atto reads an amount in units of its last decimal.
func atto(t *testing.T, amount string) *big.Int {
	t.Helper()
	sum := new(total)
	sum.addText(amount)
	sum.Mul(&sum.Rat, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)))
	if !sum.IsInt() {
		t.Fatalf("%s has more than 18 decimals", amount)
	}
	return sum.Num()
}

// exported reads a rail's file: atto by holder.
func exported(t *testing.T, file string) map[string]*big.Int {
	t.Helper()
	paid := map[string]*big.Int{}
	for _, row := range rows(t, file) {
		if paid[row["holder"]] != nil || row["asset"] != "USDC" {
			t.Fatalf("row %v", row)
		}
		paid[row["holder"]] = atto(t, row["amount"])
	}
	return paid
}

// answers is the rail's answer that everything in its file was paid.
func answers(t *testing.T, file string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "answers.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := csv.NewWriter(f)
	_ = w.Write([]string{"payout_id", "state", "reference"})
	for i, row := range rows(t, file) {
		_ = w.Write([]string{row["payout_id"], "confirmed", fmt.Sprintf("tx-%d", i)})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		t.Fatal(err)
	}
	return name
}
