package aliquot

import (
	"go/token"
	"strings"
	"testing"
)

// Every rule is seen to fail here: break a rule in the checker, and the row
// that expects its sentence fails.
func TestEachLayoutRuleCanFail(t *testing.T) {
	const head = "// Package x is an example.\n//\n// # Invariants\n//\n//   - None.\npackage x\n"
	tests := []struct {
		name   string
		dir    string
		file   string // x.go when empty
		source string
		want   string // part of the only violation; empty for none
	}{
		{"a service may use pkg, internal and its own parts", "services/settle", "",
			head + imports("pkg/money", "internal/store", "pkg/pricing"), ""},
		{"services never import each other", "services/settle", "",
			head + imports("services/distribute"), "services never import each other"},
		{"not even each other's pure parts", "services/settle", "",
			head + imports("services/distribute/plan"), "services never import each other"},
		{"an observer may import a pure part", "services/audit", "",
			head + imports("services/settle/dedup"), ""},
		{"an observer may not import a loop", "services/console", "",
			head + imports("services/settle"), "observers import the pure packages"},
		{"replay runs the loops that it compares", "services/audit/replay", "",
			head + imports("services/settle", "services/distribute"), ""},
		{"but no other service's", "services/audit/replay", "",
			head + imports("services/ingest"), "observers import the pure packages"},
		{"a test of receipts may keep real logs", "services/audit/issue", "x_test.go",
			head + imports("services/keep/keeper"), ""},
		{"but audit itself may not", "services/audit/issue", "",
			head + imports("services/keep/keeper"), "observers import the pure packages"},
		{"nor may a test of settle", "services/settle", "x_test.go",
			head + imports("services/keep/keeper"), "services never import each other"},
		{"internal packages do not know services", "internal/store", "",
			head + imports("services/settle/dedup"), "services is a floor above internal"},
		{"a host puts services together", "cmd/internal/host", "",
			head + imports("services/settle", "services/distribute"), ""},
		{"a service does not know its host", "services/settle", "",
			head + imports("cmd/internal/host"), "cmd/internal is a floor above services"},
		{"pkg does not import internal", "pkg/client", "",
			head + imports("internal/store"), "internal is a floor above pkg"},
		{"a command imports what it needs", "cmd/aliquot", "",
			"// Command aliquot is an example.\npackage main\n" + imports("services/settle", "cmd/internal/host"), ""},
		{"nothing imports a command", "cmd/internal/host", "",
			head + imports("cmd/aliquot"), "cmd is a floor above cmd/internal"},
		{"a pure package imports pure packages only", "pkg/pricing", "",
			head + imports("pkg/client"), "not pure"},
		{"a pure package has no context", "pkg/money", "",
			head + `import "context"`, "pure package imports context"},
		{"a pure package has no network below net", "pkg/ledger", "",
			head + `import "net/http"`, "pure package imports net/http"},
		{"a pure package has no disk", "pkg/directory", "",
			head + `import "os"`, "pure package imports os"},
		{"a pure package has no lock", "services/settle/dedup", "",
			head + `import "sync/atomic"`, "pure package imports sync/atomic"},
		{"a pure package has no randomness", "pkg/events", "",
			head + `import "math/rand/v2"`, "pure package imports math/rand/v2"},
		{"its tests may have randomness", "pkg/events", "x_test.go",
			"package x\n" + `import "math/rand/v2"`, ""},
		{"a prefix of a name is not the name", "pkg/events", "",
			head + `import "oslo"`, ""},
		{"a pure package uses listed foreign packages only", "pkg/money", "",
			head + `import "github.com/google/uuid"`, "not on the list"},
		{"decimal is listed", "pkg/money", "",
			head + `import "github.com/shopspring/decimal"`, ""},
		{"a pure package reads no clock", "pkg/quotes", "",
			head + "import \"time\"\nvar t = time.Now()", "time.Now"},
		{"nor hides it in a value", "pkg/quotes", "",
			head + "import \"time\"\nvar clock = time.Since", "time.Since"},
		{"durations and instants are free", "pkg/quotes", "",
			head + "import \"time\"\nvar t = time.Unix(0, 0).Add(time.Hour)", ""},
		{"a loop may read the clock", "services/settle", "",
			head + "import \"time\"\nvar t = time.Now()", ""},
		{"a pure package starts no goroutine", "pkg/money", "",
			head + "func f() { go f() }", "goroutine"},
		{"a pure package has no channel", "pkg/money", "",
			head + "var c chan int", "channel"},
		{"a pure package does not select", "pkg/money", "",
			head + "func f() { select {} }", "selects"},
		{"a pure package lets no map decide an order", "pkg/money", "",
			head + "func f(m map[string]int) (s []string) { for k := range m { s = append(s, k) }; return s }", "ranges over a map"},
		{"not behind a named type or a field either", "pkg/money", "",
			head + "type m map[string]int\ntype s struct{ m m }\nfunc f(s s) (n int) { for _, v := range s.m { n = v }; return n }", "ranges over a map"},
		{"nor through an iterator", "pkg/money", "",
			head + "import (\"maps\"; \"slices\")\nfunc f(m map[string]int) []string { return slices.Collect(maps.Keys(m)) }", "unsorted"},
		{"collected and sorted keys are in order", "pkg/money", "",
			head + "import \"slices\"\nfunc f(m map[string]int) (s []string) { for k := range m { s = append(s, k) }; slices.Sort(s); return s }", ""},
		{"so are those that a condition chose", "pkg/money", "",
			head + "import \"slices\"\nfunc f(m map[string]int) (s []string) { for k, v := range m { if v > 0 { s = append(s, k) } }; slices.Sort(s); return s }", ""},
		{"but not when the loop may leave early", "pkg/money", "",
			head + "import \"slices\"\nfunc f(m map[string]int) (s []string) { for k := range m { if k == \"\" { return s }; s = append(s, k) }; slices.Sort(s); return s }", "ranges over a map"},
		{"a sorted iterator is in order", "pkg/money", "",
			head + "import (\"maps\"; \"slices\")\nfunc f(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }", ""},
		{"a copy has no order", "pkg/money", "",
			head + "func f(a, b map[string]int) { for k, v := range a { b[k] = v } }", ""},
		{"a reason excuses a loop", "pkg/money", "",
			head + "func f(m map[string]int) (n int) {\n\t// map order: a sum has none.\n\tfor _, v := range m { n += v }\n\treturn n\n}", ""},
		{"a slice has an order", "pkg/money", "",
			head + "func f(m []int) (n int) { for _, v := range m { n = v }; return n }", ""},
		{"no package variable is a setting", "internal/store", "",
			head + "var clock int\nfunc Set(c int) { clock = c }", "package variable clock changes"},
		{"nor its parts", "internal/store", "",
			head + "var limits = map[string]struct{ n int }{}\nfunc f() { (limits)[\"a\"] = struct{ n int }{1} }", "package variable limits changes"},
		{"nor a counter", "internal/store", "",
			head + "var count int\nfunc f() { count++ }", "package variable count changes"},
		{"a table of a package may be a variable", "internal/store", "",
			head + "var powers = [...]int{1, 10}\nfunc f(i int) int { powers := powers; powers[0] = 1; return powers[i] }", ""},
		{"tests of the ground floor may find the published data", "pkg/money", "x_test.go",
			"package x\nimport \"" + module + testData + "\"\nvar _ = published.Path", ""},
		{"their packages may not", "pkg/client", "",
			head + "import \"" + module + testData + "\"\nvar _ = published.Path", "is a floor above"},
		{"no import is renamed", "services/settle", "",
			head + `import clock "time"`, "renamed to clock"},
		{"not even to a dot", "services/settle", "x_test.go",
			"package x\n" + `import . "time"`, "renamed to ."},
		{"a blank import is not a rename", "services/settle", "",
			head + `import _ "time"`, ""},
		{"a package has a comment", "internal/store", "",
			"package x\n", "no comment"},
		{"the comment begins with the name", "internal/store", "",
			"// This is an example.\npackage x\n", "does not begin with its name"},
		{"a pure package states its invariants", "pkg/money", "",
			"// Package x is an example.\npackage x\n", "states no invariants"},
		{"no drawers", "internal/util", "",
			"// Package util is an example.\npackage util\n", "says nothing"},
		{"one lower-case word", "internal/store", "",
			"// Package my_store is an example.\npackage my_store\n", "one lower-case word"},
		{"no long files", "internal/store", "x_test.go",
			"package x\n" + strings.Repeat("\n", longest), "lines"},
		{"a file of code above 400 lines has a reason", "internal/store", "",
			head + strings.Repeat("\n", long), "or a reason"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pkg{dir: test.dir, fset: token.NewFileSet()}
			name := test.file
			if name == "" {
				name = "x.go"
			}
			if err := p.add(name, test.source); err != nil {
				t.Fatal(err)
			}
			found := check(p, newLooseImporter([]pkg{p}))
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("want no violation, found %q", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0], test.want)):
				t.Errorf("want one violation with %q, found %q", test.want, found)
			}
		})
	}
}

func TestAPackageHasOneComment(t *testing.T) {
	p := pkg{dir: "internal/store", fset: token.NewFileSet()}
	for _, name := range []string{"a.go", "b.go"} {
		if err := p.add(name, "// Package x is an example.\npackage x\n"); err != nil {
			t.Fatal(err)
		}
	}
	found := check(p, newLooseImporter(nil))
	if len(found) != 1 || !strings.Contains(found[0], "2 package comments") {
		t.Errorf("found %q", found)
	}
}

func imports(dirs ...string) string {
	var b strings.Builder
	for _, dir := range dirs {
		b.WriteString("import _ \"" + module + dir + "\"\n")
	}
	return b.String()
}
