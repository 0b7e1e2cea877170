package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file of the test.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// "aliquot: … each has --json": a month of a provider in commands alone, without
// a server running beside. Every command prints one JSON value, and in text
// something else; a command that changes nothing when it is repeated says so.
func TestEveryCommandHasJSON(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), t.TempDir()
	bookFile := write(t, files, "book.yaml", declarations([]string{"n0", "n1"}, []string{"c0"}))
	register := write(t, files, "register.csv", "holder,units\nalice,1\nbob,2\nmallory,3\n")
	listed := write(t, files, "list.txt", "mallory\n")
	quotes := write(t, files, "quotes.csv", "round,time,rate\n1,2024-05-01T00:00:00Z,1.0001\n2,2024-05-01T01:00:00Z,0.9999\n")
	usage := write(t, files, "usage.csv", "at,node,used\n2024-05-01T01:00:00Z,n0,1.5\n2024-05-01T02:00:00Z,n1,2.25\n2024-05-01T03:00:00Z,n1,oops\n")
	mapping := write(t, files, "map.yaml", `format: csv
book: acme-eu
source: test
id: row
node: {column: node}
customer: c0
meter: unit
quantity: {column: used}
end: {column: at, layout: rfc3339}
`)
	payouts, confirmed := filepath.Join(files, "payouts.csv"), ""
	run := func(arguments ...string) said { return aliquot(t, append(arguments, "--data", dir)...) }
	// field reads one member of a JSON object.
	field := func(s said, name string) string {
		var value any
		s.into(t, &value)
		object, _ := value.(map[string]any)
		switch member := object[name].(type) {
		case nil:
			return ""
		case []any:
			return fmt.Sprint(len(member))
		default:
			return fmt.Sprint(member)
		}
	}
	steps := []struct {
		line  []string
		name  string // member of the JSON object, where there is one
		value string
		again string // its value when the command is repeated; "-" where it may not be
	}{
		{[]string{"apply", "-f", bookFile}, "applied", "10", "0"},
		{[]string{"status"}, "healthy", "true", "true"},
		{[]string{"key", "create", "eve", "--scope", "auditor"}, "key", "eve", "-"},
		{[]string{"key", "list"}, "", "", ""},
		{[]string{"key", "revoke", "eve"}, "effect", "applied", "-"},
		{[]string{"usage", "send", usage, "--map", mapping, "--wait", "--tolerate"}, "accepted", "2", "-"},
		{[]string{"usage", "outcome", "test#0/1"}, "outcome", "accepted", "accepted"},
		{[]string{"quotes", "import", quotes, "--pair", "EURC/USD", "--source", "feed"}, "rounds", "2", "0"},
		{[]string{"suspense", "list"}, "", "", ""},
		{[]string{"deposit", "--book", book, "--customer", "c0", "--amount", "1.25", "--reference", "a"}, "effect", "applied", "unchanged"},
		{[]string{"deposit", "--book", book, "--outstanding", "--reference", "b"}, "applied", "1", "0"},
		{[]string{"collect", "--book", book}, "effect", "applied", "-"},
		{[]string{"deposit", "--book", book, "--customer", "c0", "--amount", "7", "--reference", "wrong"}, "effect", "applied", "unchanged"},
		{[]string{"deposit", "reverse", "--book", book, "--customer", "c0", "--amount", "7", "--reference", "wrong", "--reason", "it was another's"}, "effect", "applied", "unchanged"},
		{[]string{"period", "close", book, "2024-05-01"}, "effect", "applied", "unchanged"},
		{[]string{"period", "reopen", book, "2024-05-01", "--reason", "usage is missing"}, "effect", "applied", "-"},
		{[]string{"period", "close", book, "2024-05-01"}, "effect", "applied", "unchanged"},
		{[]string{"holds", "import", listed, "--list", "l"}, "effect", "applied", "unchanged"},
		{[]string{"register", "import", register, "--token", "T1"}, "effect", "applied", "unchanged"},
		{[]string{"distribution", "declare", "--token", "T1", "--period", "2024-05-01"}, "pool", "3.65625", "-"},
		{[]string{"distribution", "list"}, "", "", ""},
		{[]string{"payout", "export", "--distribution", "T1:2024-05-01", "-o", payouts}, "payouts", "2", "2"},
		{[]string{"payout", "confirm", "ANSWERS", "--batch", "T1:2024-05-01:csv"}, "applied", "1", "0"},
		{[]string{"balances", "holder:"}, "", "", ""},
		{[]string{"statement", "provider", provider}, "nodes", "2", "2"},
		{[]string{"statement", "customer", "c0"}, "charges", "2", "2"},
		{[]string{"statement", "holder", "mallory"}, "shares", "1", "1"},
		{[]string{"explain", "test#2"}, "kind", "event", "event"},
		{[]string{"explain", "control:1"}, "kind", "decision", "decision"},
		{[]string{"explain", "T1:2024-05-01"}, "kind", "distribution", "distribution"},
		{[]string{"export"}, "", "", ""},
		{[]string{"export", "accounted"}, "", "", ""},
		{[]string{"export", "trial-balance", "--at", "control:12"}, "", "", ""},
		{[]string{"export", "focus", "--book", book, "--period", "2024-05-01"}, "", "", ""},
		{[]string{"check"}, "ok", "true", "true"},
		{[]string{"check", "--deep"}, "ok", "true", "true"},
		{[]string{"replay"}, "identical", "true", "true"},
	}
	for _, step := range steps {
		t.Run(strings.Join(step.line[:min(2, len(step.line))], " "), func(t *testing.T) {
			for i, word := range step.line {
				if word == "ANSWERS" {
					if confirmed == "" {
						confirmed = answers(t, payouts)
					}
					step.line[i] = confirmed
				}
			}
			first := run(append(step.line, "--json")...).ok(t)
			if got := field(first, step.name); step.name != "" && got != step.value {
				t.Errorf("%s is %s, want %s\n%s", step.name, got, step.value, first.out)
			}
			if step.again == "-" {
				return
			}
			second := run(append(step.line, "--json")...).ok(t)
			if got := field(second, step.name); step.name != "" && got != step.again {
				t.Errorf("again: %s is %s, want %s\n%s", step.name, got, step.again, second.out)
			}
			text := run(step.line...).ok(t)
			if json.Valid([]byte(text.out)) || text.out == "" {
				t.Errorf("not for people: %q", text.out)
			}
		})
	}
}

// Exit codes and what a wrong command says: 1 where the answer is no, 2 where the
// command line itself is wrong.
func TestWrongCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), t.TempDir()
	s := up(t, dir)
	s.declare(declarations([]string{"n0"}, []string{"c0"}))
	badQuotes := write(t, files, "quotes.csv", "round,time,rate\n1,yesterday,1\n")
	futureQuotes := write(t, files, "future.csv", "round,time,rate\n1,2062-01-01T00:00:00Z,1\n")
	badRegister := write(t, files, "register.csv", "holder,units\na,1\nb,-1\n")
	badMap := write(t, files, "map.yaml", "format: csv\nbook: acme-eu\nquantitty: {column: x}\n")
	usage := write(t, files, "usage.csv", "x\n1\n")
	for _, test := range []struct {
		name string
		line []string
		want string
	}{
		{"no such command", []string{"fly"}, "fly"},
		{"a flag that is missing", []string{"distribution", "declare", "--token", "T1"}, "--period"},
		{"a file that is not there", []string{"quotes", "import", "nowhere.csv", "--source", "feed"}, "nowhere.csv"},
		{"a time in words", []string{"quotes", "import", badQuotes, "--source", "feed"}, "line 2: time"},
		{"units below zero", []string{"register", "import", badRegister, "--token", "T1"}, "line 3"},
		{"a map with a misspelt field", []string{"usage", "send", usage, "--map", badMap}, "map.yaml:3:1: quantitty"},
		{"a token that nobody declared", []string{"distribution", "declare", "--token", "T9", "--period", "2024-05-01"}, `"T9"`},
		{"a period that is not closed", []string{"distribution", "declare", "--token", "T1", "--period", "2024-05-01"}, "not closed"},
		{"a period of another calendar", []string{"period", "close", book, "2024-05"}, "2024-05"},
		{"a period of the next century", []string{"period", "close", book, "2126-11-01", "--early", "--reason", "typing"}, "2126-11-01 has not begun"},
		{"a period beyond the range of times", []string{"period", "close", book, "2600-01-01"}, "is not between 1970"},
		{"an early closing without a reason", []string{"period", "close", book, "2024-05-01", "--early"}, "reason"},
		{"a period that was never closed", []string{"period", "reopen", book, "2024-05-01", "--reason", "x"}, "is not closed"},
		{"a round that was never observed", []string{"quotes", "withdraw", "--round", "9", "--reason", "x", "--as", "ann"}, `no round "9"`},
		{"a withdrawal of nobody", []string{"quotes", "withdraw", "--round", "9", "--reason", "x"}, "--as NAME"},
		{"a deposit that was never recorded", []string{"deposit", "reverse", "--book", book, "--customer", "c0", "--amount", "1", "--reference", "x", "--reason", "y"}, "amount: 0 USDC"},
		{"a quote of 2062", []string{"quotes", "import", futureQuotes, "--source", "feed"}, "rounds[0].time"},
		{"a deposit below a minor unit", []string{"deposit", "--book", book, "--customer", "c0", "--amount", "0.0000001", "--reference", "x"}, "amount"},
		{"a negative deposit", []string{"deposit", "--book", book, "--customer", "c0", "--amount", "-1", "--reference", "x"}, "amount"},
		{"a deposit of a stranger", []string{"deposit", "--book", book, "--customer", "c9", "--amount", "1", "--reference", "x"}, "c9"},
		{"a statement of nobody", []string{"statement", "customer", "nobody"}, "nobody"},
		{"a statement of somebody in no register", []string{"statement", "holder", "nobody"}, "nobody"},
		{"a payout run of a token that owes nothing", []string{"payout", "run", "--token", "T1"}, "owes nothing"},
		{"a payout run of a token that nobody declared", []string{"payout", "run", "--token", "T9"}, `"T9"`},
		{"a correction of no payout", []string{"payout", "correct", "po-1", "--state", "failed", "--reason", "x"}, "po-1"},
		{"a correction to what no rail can say", []string{"payout", "correct", "po-1", "--state", "planned", "--reason", "x"}, "state"},
		{"an answer to no batch", []string{"payout", "confirm", usage, "--batch", "b9", "--column", "payout_id=x"}, "b9"},
		{"an id that explains nothing", []string{"explain", "nothing"}, "nothing"},
		{"a report that nobody knows", []string{"export", "balances"}, `report "balances" is unknown: trial-balance`},
		{"a report in a format that is none", []string{"export", "journal", "--format", "xlsx"}, `format "xlsx" is unknown: csv, parquet, json`},
		{"a report of a book that nobody declared", []string{"export", "journal", "--book", "mars"}, `book "mars" is not declared`},
		{"a report at a position beyond the end", []string{"export", "journal", "--at", "ledger:99"}, "LEDGER ends at"},
		{"a report into a folder that is not there", []string{"export", "journal", "-o", filepath.Join(files, "no", "journal.csv")}, "journal.csv"},
		{"a distribution without payouts", []string{"payout", "export", "--distribution", "T1:2024-05-01"}, "T1:2024-05-01"},
		{"a key that is not one", []string{"balances", "--bearer", "alq_wrong"}, "bearer token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := aliquot(t, append(test.line, "--data", dir)...)
			if c.code == 0 || !strings.Contains(c.err, test.want) || strings.Contains(c.err, "goroutine ") {
				t.Errorf("exit %d, wants %q\n%s%s", c.code, test.want, tail(c.out), tail(c.err))
			}
		})
	}
	s.stop()
}
