package export

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// rowsWritten is the number of rows for which memory is measured: some, or as
// many as ALIQUOT_EXPORT_ROWS says.
func rowsWritten(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("ALIQUOT_EXPORT_ROWS")); err == nil {
		return n
	}
	return 160_000
}

// held is the memory in use after a collection, in MB.
func held() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

// mostMB is how much memory a report may use besides what it reads.
const mostMB = 96

// Fails when a format keeps its rows.
func TestMemoryDoesNotGrowWithRows(t *testing.T) {
	n := rowsWritten(t)
	for _, format := range Formats() {
		before := held()
		table, err := newTable(io.Discard, "journal", journalColumns(), format)
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for i := range n {
			id := strconv.Itoa(i)
			err := table.row(text("settle-0-"+id), count(i), count(0), text("eu"), text("usage"), text("2026-11-20"), text("2026-11-20"), cell{},
				text("customer:"+id+":receivable"), text("node:"+id+":earned"), text("USDC"), amount(money.Atto(int64(i))), text("std@1"), text("feed#"+id),
				text("gpu.seconds"), quantity(money.Quantity{}), count(1), count(i), count(i), instant(int64(i)))
			if err != nil {
				t.Fatal(err)
			}
			if i%(n/8) == 0 {
				most = max(most, held()-before)
			}
		}
		if err := table.sink.close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d rows in at most %d MB", format, n, most)
		if most > mostMB {
			t.Errorf("%s: %d rows in %d MB", format, n, most)
		}
	}
}

// The trial balance of many accounts. Fails when sums stay in memory.
func TestMemoryDoesNotGrowWithAccounts(t *testing.T) {
	n := rowsWritten(t)
	before := held()
	r := &run{ledger: &source{}, payout: &source{}}
	sums := &balanceSums{run: r, held: map[ledger.Place]*sum{}}
	defer sums.sorter.close()
	most := 0
	for i := range n {
		// Each account occurs twice, far apart.
		place := ledger.Place{Account: ledger.Account(fmt.Sprintf("holder:%d:payable", i%(n/2)*7919%(n/2))), Asset: "USDC"}
		if err := sums.add(place, &sum{Balance: ledger.Balance{Credit: money.Atto(int64(i + 1))}, postings: 1, of: r.payout, position: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
		if i%(n/8) == 0 {
			most = max(most, held()-before)
		}
	}
	if len(sums.held) >= placesHeld {
		t.Errorf("%d accounts are summed in memory, more than %d", len(sums.held), placesHeld)
	}
	places, total, postings := 0, money.Amount{}, uint64(0)
	err := sums.each(func(_ ledger.Place, s *sum) (err error) {
		places++
		postings += s.postings
		total, err = total.Add(s.Credit)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	most = max(most, held()-before)
	t.Logf("%d postings to %d accounts in at most %d MB", n, places, most)
	if want := money.Atto(int64(n) * int64(n+1) / 2); total != want || postings != uint64(n) {
		t.Errorf("%v in %d postings, want %v in %d", total, postings, want, n)
	}
	if most > mostMB {
		t.Errorf("%d MB", most)
	}
}
