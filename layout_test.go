// Package aliquot has no code: its tests are the architecture, executable.
//
// They parse every Go file of the repository and check who imports whom, that
// pure packages are pure, and the parts of the written style that a parser can
// see. A rule that needs a linter's knowledge of types stands in
// .golangci.yml. Packages that do not exist yet are not asked for.
//
// # Invariants
//
//   - No import goes up: cmd → cmd/internal → services → internal → pkg.
//   - Services never import each other; they meet in pkg.
//   - Pure packages import pure packages only.
//   - A pure package sees no clock, context, network, disk, goroutine, lock or
//     randomness, and lets no map decide an order.
//   - No package variable changes after its declaration, save in commands.
//   - Every rule has a source in layout_rules_test.go that breaks it.
package aliquot

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the prefix of our own import paths.
const module = "github.com/aliquot-engine/aliquot/"

// pure lists the packages whose results are functions of their arguments, so
// that live settlement, replay and simulation agree to the byte.
var pure = []string{
	"pkg/money",
	"pkg/events",
	"pkg/events/packed",
	"pkg/events/cloudevents",
	"pkg/events/leaf",
	"pkg/events/internal/chars",
	"pkg/events/internal/varint",
	"pkg/ledger",
	"pkg/directory",
	"pkg/pricing",
	"pkg/quotes",
	"pkg/register",
	"pkg/apportion",
	"pkg/payout",
	"pkg/distribution",
	"pkg/settlement",
	"pkg/tlog",
	"pkg/tlog/digest",
	"pkg/receipt",
	"pkg/plain",
	"pkg/strict",
	"services/settle/dedup",
	"services/settle/posting",
	"services/distribute/waterfall",
	"services/distribute/plan",
}

// floors are the storeys of the house, from the ground up: a package imports
// packages of its own floor and of those below.
var floors = []string{"pkg", "internal", "services", "cmd/internal", "cmd"}

// observers may import the pure packages of any service: they recompute what
// the services decided.
var observers = []string{"services/audit", "services/console"}

// rerun run the loops of settle and distribute themselves: what replay proves is
// that the very code that ran live gives the same again from the streams, so a
// second loop would prove nothing.
var rerun = []string{"services/audit/replay", "services/audit/audittest"}

// testData finds published data for the tests of every floor; it is on the lowest
// one where a package need not be public.
const testData = "internal/published"

// allowedInPure are the foreign packages that pure packages may use: functions
// of their arguments, without a clock or goroutines on the calls we make.
var allowedInPure = []string{
	"github.com/shopspring/decimal",                 // the type of the edges
	"github.com/cespare/xxhash/v2",                  // a hash function
	"github.com/klauspost/compress/s2",              // block form only
	"google.golang.org/protobuf/encoding/protowire", // the wire format by hand
	"github.com/klauspost/cpuid/v2",                 // which instructions the processor has
	"github.com/transparency-dev/merkle/compact",    // which nodes cover a tree
	"github.com/transparency-dev/merkle/proof",      // Merkle proofs, planned and verified
	"golang.org/x/mod/sumdb/note",                   // signed notes; its GenerateKey takes a reader
	"golang.org/x/crypto/sha3",                      // Keccak-256, the hash of EIP-55
	"golang.org/x/text/unicode/norm",                // Unicode's normal forms, by tables
}

// deniedInPure are the standard packages (with what is below them) through
// which the outside world would come in.
var deniedInPure = []string{
	"context", "crypto/rand", "database", "embed", "expvar", "log", "math/rand", "net",
	"os", "plugin", "runtime", "sync", "syscall", "testing", "unsafe",
}

// deniedTime are the functions of package time that read a clock, wait, or
// read the machine's zone files. Types, constants and arithmetic are free.
var deniedTime = []string{
	"After", "AfterFunc", "LoadLocation", "Local", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
}

// forbiddenNames are drawers rather than rooms (STYLE, Names).
var forbiddenNames = []string{
	"adapter", "adapters", "base", "common", "helper", "helpers", "lib", "misc", "model", "models",
	"service", "shared", "type", "types", "util", "utils",
}

// longest is the number of lines that no file may have, and long that which a
// file of code may have without a reason in [whyLong].
const (
	longest = 800
	long    = 400
)

// whyLong has the reason of each longer file, eight of them at most.
var whyLong = map[string]string{
	"pkg/events/cloudevents/member.go": "one function reads every member of an event; cut up, no reader sees the order",
	"pkg/events/packed/segment.go":     "decodes and checks every column of packed.proto, in its order",
	"internal/rowfile/reader.go":       "one reader of rows for every format, whose options depend on each other",
	"cmd/internal/mapping/reader.go":   "reads a row by every key of a map, in the order of the grammar",
}

func TestTheRepositoryKeepsItsLayout(t *testing.T) {
	packages := readRepository(t)
	if len(packages) == 0 {
		t.Fatal("no Go package found")
	}
	loader := newLooseImporter(packages)
	for _, p := range packages {
		for _, violation := range check(p, loader) {
			t.Error(violation)
		}
	}
}

// A file is one parsed Go file.
type file struct {
	name  string // base name
	lines int
	tree  *ast.File
}

// A pkg is one directory of Go files; dir is slash-separated and relative to
// the repository root ("." for the root itself).
type pkg struct {
	dir   string
	fset  *token.FileSet
	files []file
}

func (f file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

func (p pkg) isPure() bool { return slices.Contains(pure, p.dir) }

// readRepository parses every package below the root, in order of directory.
// Modules of their own (with a go.mod) are left to their own tests.
func readRepository(t *testing.T) []pkg {
	t.Helper()
	byDir := map[string]*pkg{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(name))
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir, fset: token.NewFileSet()}
			byDir[dir] = p
		}
		return p.add(entry.Name(), string(text))
	})
	if err != nil {
		t.Fatal(err)
	}
	packages := make([]pkg, 0, len(byDir))
	for _, p := range byDir {
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b pkg) int { return strings.Compare(a.dir, b.dir) })
	return packages
}

func (p *pkg) add(name, text string) error {
	tree, err := parser.ParseFile(p.fset, path.Join(p.dir, name), text, parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parsing %s/%s: %w", p.dir, name, err)
	}
	p.files = append(p.files, file{name, strings.Count(text, "\n"), tree})
	return nil
}

// check returns what a package breaks, one sentence each. The loader
// knows the types of the other packages.
func check(p pkg, loader *looseImporter) []string {
	var found []string
	report := func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", p.fset.Position(at), fmt.Sprintf(format, args...)))
	}
	checkName(p, report)
	checkComment(p, report)
	for _, f := range p.files {
		if f.lines > long && !f.isTest() && whyLong[path.Join(p.dir, f.name)] == "" {
			report(f.tree.Pos(), "file of %d lines: %d at most, or a reason", f.lines, long)
		}
		if f.lines >= longest {
			report(f.tree.Pos(), "file of %d lines: %d at most", f.lines, longest-1)
		}
		for _, spec := range f.tree.Imports {
			checkImport(p, f, spec, report)
		}
		if p.isPure() && !f.isTest() {
			checkPurity(f, report)
		}
	}
	info := typesOf(p, loader)
	checkGlobals(p, info, report)
	if p.isPure() {
		checkMapOrder(p, info, report)
	}
	return found
}

type reporter func(at token.Pos, format string, args ...any)

func checkName(p pkg, report reporter) {
	for _, f := range p.files {
		name := strings.TrimSuffix(f.tree.Name.Name, "_test")
		if slices.Contains(forbiddenNames, name) || slices.Contains(forbiddenNames, path.Base(p.dir)) {
			report(f.tree.Name.Pos(), "package %s: the name says nothing of what it is for", name)
			return
		}
		if name != strings.ToLower(name) || strings.Contains(name, "_") {
			report(f.tree.Name.Pos(), "package %s: want one lower-case word", name)
			return
		}
	}
}

// checkComment wants one package comment, and invariants where results must be
// reproducible.
func checkComment(p pkg, report reporter) {
	var comments []string
	onlyTests := true
	for _, f := range p.files {
		onlyTests = onlyTests && f.isTest()
		if f.tree.Doc != nil && (!f.isTest() || p.dir == ".") {
			comments = append(comments, f.tree.Doc.Text())
		}
	}
	at, name := p.files[0].tree.Package, strings.TrimSuffix(p.files[0].tree.Name.Name, "_test")
	switch {
	case len(comments) == 0 && onlyTests && p.dir != ".":
		// A package of tests alone is documented by its tests' names.
	case len(comments) == 0:
		report(at, "package %s has no comment", name)
	case len(comments) > 1:
		report(at, "package %s has %d package comments: one file says it", name, len(comments))
	case name != "main" && !strings.HasPrefix(comments[0], "Package "+name+" "):
		report(at, "the comment of package %s does not begin with its name", name)
	case p.isPure() && !strings.Contains(comments[0], "# Invariants"):
		report(at, "the comment of pure package %s states no invariants", name)
	}
}

func checkImport(p pkg, f file, spec *ast.ImportSpec, report reporter) {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		report(spec.Pos(), "import path %s: %v", spec.Path.Value, err)
		return
	}
	if spec.Name != nil && spec.Name.Name != "_" {
		report(spec.Pos(), "import of %s renamed to %s", imported, spec.Name.Name)
	}
	own, isOwn := strings.CutPrefix(imported, module)
	if isOwn {
		inTests := f.isTest() && (own == testData || proved(p.dir) && proved(own))
		if why := forbids(p.dir, own); why != "" && !inTests {
			report(spec.Pos(), "%s imports %s: %s", p.dir, own, why)
		}
	}
	if !p.isPure() || f.isTest() {
		return
	}
	switch {
	case isOwn && !slices.Contains(pure, own):
		report(spec.Pos(), "pure package imports %s, which is not pure", own)
	case isOwn || slices.Contains(allowedInPure, imported):
	case strings.Contains(strings.Split(imported, "/")[0], "."):
		report(spec.Pos(), "pure package imports %s, which is not on the list of pure foreign packages", imported)
	case slices.ContainsFunc(deniedInPure, func(denied string) bool { return within(imported, denied) }):
		report(spec.Pos(), "pure package imports %s", imported)
	}
}

// forbids says why the package in from may not import the package in to, both
// relative to the root; empty when it may.
func forbids(from, to string) string {
	fromService, toService := service(from), service(to)
	among := func(dir string, list []string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return within(dir, l) })
	}
	switch {
	case floor(from) < floor(to):
		return fmt.Sprintf("%s is a floor above %s", floors[floor(to)], floors[floor(from)])
	case fromService == "" || toService == "" || fromService == toService:
		return ""
	case among(from, rerun) && (to == "services/settle" || to == "services/distribute"):
		return ""
	case among(from, observers) && slices.Contains(pure, to):
		return ""
	case among(from, observers):
		return "observers import the pure packages of services only"
	}
	return "services never import each other"
}

// proved reports whether dir belongs to a service that has to do with the signed
// logs. The tests of these services use each other's real parts.
func proved(dir string) bool {
	return slices.Contains([]string{"keep", "witness", "audit"}, service(dir))
}

// floor is the index in [floors] of the floor that dir is on; what is on none,
// such as the tests of the root, stands on the highest one.
func floor(dir string) int {
	for i, root := range floors {
		if within(dir, root) {
			return i
		}
	}
	return len(floors) - 1
}

// service is the name of the service that dir belongs to, or empty.
func service(dir string) string {
	rest, ok := strings.CutPrefix(dir, "services/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// within says whether dir is root or below it.
func within(dir, root string) bool {
	return dir == root || strings.HasPrefix(dir, root+"/")
}

// checkPurity looks for the clock and for concurrency; imports are checked
// before.
func checkPurity(f file, report reporter) {
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n.Pos(), "pure package starts a goroutine")
		case *ast.SelectStmt:
			report(n.Pos(), "pure package selects on channels")
		case *ast.ChanType:
			report(n.Pos(), "pure package has a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(deniedTime, n.Sel.Name) {
				report(n.Pos(), "pure package uses time.%s: time arrives in events", n.Sel.Name)
			}
		}
		return true
	})
}

func TestFewFilesAreLong(t *testing.T) {
	if len(whyLong) > 8 {
		t.Errorf("%d files have more than %d lines: eight at most", len(whyLong), long)
	}
	for name := range whyLong {
		data, err := os.ReadFile(name)
		if err != nil || strings.Count(string(data), "\n") <= long {
			t.Errorf("%s needs no reason: %v", name, err)
		}
	}
}
