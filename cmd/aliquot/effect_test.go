package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTableOfEffectsHasEveryCommand(t *testing.T) {
	known := map[string]bool{}
	for _, leaf := range parsing(t).Model.Leaves(false) {
		known[nameOf(leaf)] = true
		if _, ok := effects[nameOf(leaf)]; !ok {
			t.Errorf("%s is not in the table: say which of the common flags have an effect on it", nameOf(leaf))
		}
	}
	for name := range effects {
		if !known[name] {
			t.Errorf("%q is in the table, but is not a command", name)
		}
	}
}

// Every command accepts the common flags that the table gives to it, and
// refuses the others; the examples cover every command.
func TestEveryCommandRefusesTheCommonFlagsWithoutEffect(t *testing.T) {
	t.Chdir(t.TempDir())
	values := map[string]string{"data": "other", "url": "http://127.0.0.1:1", "bearer": "alq_1", "database-url": "postgres://x/y", "as": "ann"}
	if err := os.MkdirAll(filepath.Join("other", "streams"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join("aliquot-data", "streams"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, lines := range examples {
		words := shellWords(strings.TrimSuffix(strings.TrimPrefix(lines[0], "source <("), ")"))[1:]
		for _, word := range words {
			if ext := filepath.Ext(word); ext == ".csv" || ext == ".yaml" || ext == ".txt" {
				if err := os.WriteFile(word, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, c := range common {
			if strings.Contains(strings.Join(words, " "), "--"+c.flag) {
				continue
			}
			line := append([]string{"--" + c.flag}, words...)
			if value, ok := values[c.flag]; ok {
				line[0] += "=" + value
			}
			r := &root{}
			parser, err := newParser(r)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parser.Parse(line)
			if err != nil {
				t.Errorf("%v: %v", line, err)
				continue
			}
			allowed := effects[name]
			if n, ok := parsed.Selected().Target.Addr().Interface().(narrowed); ok {
				less, _ := n.without()
				allowed &^= less
			}
			err = r.prepare(parsed)
			switch refused := err != nil && strings.Contains(err.Error(), "--"+c.flag+" has no effect"); {
			case allowed&c.effect == 0 && !refused:
				t.Errorf("%v: accepted although it has no effect: %v", line, err)
			case allowed&c.effect != 0 && err != nil:
				t.Errorf("%v: %v", line, err)
			}
		}
	}
}

func TestWhatHasNoEffectIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		line string
		want string // empty: taken
	}{
		{"a server and a database", nil, "check --url http://h --bearer t --database-url postgres://x/y", "--database-url has no effect with --url"},
		{"a server and a folder", nil, "balances --url http://h --bearer t --data d", "--data has no effect with --url"},
		{"a server on the line, a database in the environment", map[string]string{"DATABASE_URL": "postgres://x/y"}, "check --url http://h --bearer t", "DATABASE_URL has no effect with --url"},
		{"both in the environment", map[string]string{"DATABASE_URL": "postgres://x/y", "ALIQUOT_URL": "http://h"}, "state", "DATABASE_URL has no effect with ALIQUOT_URL"},
		{"a folder in the environment", map[string]string{"ALIQUOT_DIR": "d", "ALIQUOT_URL": "http://h"}, "state", "ALIQUOT_DIR has no effect with ALIQUOT_URL"},
		{"a server for a command that runs one", map[string]string{"ALIQUOT_URL": "http://h"}, "up", "ALIQUOT_URL has no effect on aliquot up"},
		{"a server for the demo", map[string]string{"ALIQUOT_URL": "http://h"}, "demo", "ALIQUOT_URL has no effect on aliquot demo"},
		{"a server for the files of a folder", map[string]string{"ALIQUOT_URL": "http://h"}, "log fsck", "ALIQUOT_URL has no effect on aliquot log fsck"},
		{"a server for a command without a ledger", map[string]string{"ALIQUOT_URL": "http://h", "DATABASE_URL": "postgres://x/y"}, "version", ""},
		{"an empty variable counts as unset", map[string]string{"DATABASE_URL": "", "ALIQUOT_URL": "http://h"}, "state", ""},
		{"the demo's database", nil, "demo --database-url postgres://x/y", ""},
		{"a folder and its database", map[string]string{"DATABASE_URL": "postgres://x/y", "ALIQUOT_DIR": "aliquot-data"}, "log list", ""},
		{"the database of migrate", map[string]string{"DATABASE_URL": "postgres://x/y", "ALIQUOT_DIR": "aliquot-data"}, "migrate", ""},
		{"the name of a person who only asks", nil, "check --as ann", "--as has no effect on aliquot check"},
		{"the same in the environment, where other commands need it", map[string]string{"ALIQUOT_AS": "ann"}, "check", ""},
		{"a ledger for archives", nil, "replay --archives p.tar --data aliquot-data", "--data has no effect with --archives"},
		{"a database for a command that asks no server", nil, "log export p.tar --bare --database-url postgres://x/y", "--database-url has no effect with --bare"},
		{"the name of a person who only examines", nil, "log fsck --as ann", "--as has no effect without --restore"},
		{"JSON from a command that does not end", nil, "up --json", "--json has no effect on aliquot up"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for _, name := range []string{"ALIQUOT_DIR", "ALIQUOT_URL", "DATABASE_URL", "ALIQUOT_AS"} {
				t.Setenv(name, "")
				if value, ok := test.env[name]; !ok || value == "" {
					_ = os.Unsetenv(name)
				}
				if value, ok := test.env[name]; ok {
					t.Setenv(name, value)
				}
			}
			if err := os.MkdirAll(filepath.Join("aliquot-data", "streams"), 0o700); err != nil {
				t.Fatal(err)
			}
			r := &root{}
			parser, err := newParser(r)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parser.Parse(strings.Fields(test.line))
			if err != nil {
				t.Fatal(err)
			}
			err = r.prepare(parsed)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A folder that does not exist, or is empty, is refused and stays as it is.
func TestOnlyWhatBeginsALedgerMakesAFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	lines := []string{
		"check", "replay", "state", "status", "balances", "export journal", "explain settle-0-1", "receipt settle-0-1", "key list", "key create k --scope operator",
		"distribution list", "suspense list", "statement provider acme", "usage outcome 0/1/0", "period close b 2026-11", "deposit --book b --customer c --amount 1 --reference r",
		"log keys", "log list", "log export p.tar", "log fsck", "payout run --token T",
	}
	for _, folder := range []string{"nowhere", "empty"} {
		if folder == "empty" {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range lines {
			got := capture(t, append(strings.Fields(line), "--data", folder)...)
			if got.code != exitMisuse || got.out != "" || !strings.Contains(got.err, "has no ledger") || !strings.Contains(got.err, "aliquot up") {
				t.Errorf("%s in %s: exit %d\n%s%s", line, folder, got.code, got.out, got.err)
			}
		}
		if files, err := os.ReadDir(folder); folder == "nowhere" && err == nil || len(files) > 0 {
			t.Errorf("%s: made %v", folder, files)
		}
	}
	if err := os.WriteFile("book.yaml", []byte(testBook), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"apply -f book.yaml", "check", "log keys show"} {
		if got := capture(t, append(strings.Fields(line), "--data", "nowhere")...); got.code != exitDone {
			t.Errorf("%s: exit %d\n%s", line, got.code, got.err)
		}
	}
}
