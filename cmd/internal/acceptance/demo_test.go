package acceptance

import (
	"testing"
)

// shown is what aliquot demo --json prints, as far as these tests ask.
type shown struct {
	Sent, Accepted, Duplicate, Late, Refused, Suspended, Skipped *int

	Charged, Earned, Collected, Pool, Paid, Held, Carried *string

	JournalHash string `json:"journal_hash"`
	Seconds     any
	Checks      map[string]bool
	Billed      map[string]string
}

// demo runs aliquot demo --json and asserts that everything it promises to
// print is there and every check is true.
func demo(t *testing.T, arguments ...string) shown {
	t.Helper()
	var d shown
	aliquot(t, append([]string{"demo", "--json"}, arguments...)...).ok(t).into(t, &d)
	for name, missing := range map[string]bool{
		"sent": d.Sent == nil, "accepted": d.Accepted == nil, "duplicate": d.Duplicate == nil, "late": d.Late == nil,
		"refused": d.Refused == nil, "suspended": d.Suspended == nil, "charged": d.Charged == nil, "earned": d.Earned == nil,
		"collected": d.Collected == nil, "pool": d.Pool == nil, "paid": d.Paid == nil, "held": d.Held == nil,
		"carried": d.Carried == nil, "journal_hash": len(d.JournalHash) != 64, "seconds": d.Seconds == nil, "checks": len(d.Checks) == 0,
	} {
		if missing {
			t.Fatalf("demo does not print %s", name)
		}
	}
	for name, holds := range d.Checks {
		if !holds {
			t.Errorf("check %s is false", name)
		}
	}
	return d
}

// "without any file it generates a seeded, realistic day … duplicates, late and
// malformed events".
func TestTheDemoNeedsNoFile(t *testing.T) {
	t.Parallel()
	d := demo(t, "--events", "20000", "--seed", "5")
	if *d.Accepted < 10_000 || *d.Duplicate == 0 || *d.Late == 0 || *d.Refused == 0 || *d.Paid == "0" || *d.Held == "0" {
		t.Errorf("the day lacks something: %+v", d)
	}
	if again := demo(t, "--events", "20000", "--seed", "5"); again.JournalHash != d.JournalHash {
		t.Errorf("the same seed gives %s and %s", d.JournalHash, again.JournalHash)
	}
}
