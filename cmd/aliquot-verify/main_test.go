package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aliquot-engine/aliquot/"

// foreign lists the third-party modules that an auditor has to read in addition
// to ours.
var foreign = []string{
	"github.com/cespare/xxhash/v2",       // a hash function
	"github.com/klauspost/compress",      // s2, of packed batches
	"github.com/klauspost/cpuid/v2",      // finds out whether the processor has SHA instructions
	"github.com/shopspring/decimal",      // decimal text
	"github.com/transparency-dev/merkle", // proofs
	"golang.org/x/crypto",                // Keccak, for the checksum of an address
	"golang.org/x/mod",                   // signed notes
	"golang.org/x/sys",                   // processor features for Keccak
	"golang.org/x/text",                  // normal form of a name
}

// derive lists the pure packages of services that computed what a receipt says.
var derive = []string{
	"pkg/apportion", "pkg/payout", "pkg/register",
	"pkg/quotes", "pkg/pricing",
}

// reach lists the standard packages that could contact a network or another
// program.
var reach = []string{"net", "net/http", "os/exec", "plugin", "runtime/cgo"}

// The command is small enough to be read by the people who rely on it, and has
// no code to contact anybody, on this machine or in a browser.
func TestTheCommandHasWhatItVerifiesWithAndNothingElse(t *testing.T) {
	for _, target := range [][]string{nil, {"GOOS=js", "GOARCH=wasm"}} {
		list := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", ".")
		list.Env = append(append(os.Environ(), "CGO_ENABLED=0"), target...)
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) < 50 {
			t.Fatalf("%v: it depends on %d packages?", target, len(lines))
		}
		for _, line := range lines {
			path, of, _ := strings.Cut(line, " ")
			own, ours := strings.CutPrefix(path, module)
			switch {
			case of == "" && !slices.Contains(reach, path): // standard
			case ours && strings.HasPrefix(own, "pkg/") && own != "pkg/client":
			case ours && (strings.HasPrefix(own, "services/audit/") || slices.Contains(derive, own) || own == "cmd/aliquot-verify"):
			case !ours && slices.Contains(foreign, of):
			default:
				t.Errorf("%v: it depends on %s", target, path)
			}
		}
	}
}
