package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aliquot-engine/aliquot/"

// foreign are the modules of others that an auditor has to read besides ours.
var foreign = []string{
	"github.com/cespare/xxhash/v2",       // a hash function
	"github.com/klauspost/compress",      // s2, of packed batches
	"github.com/klauspost/cpuid/v2",      // whether the processor has SHA instructions
	"github.com/transparency-dev/merkle", // proofs
	"golang.org/x/crypto",                // Keccak, of an address's checksum
	"golang.org/x/mod",                   // signed notes
	"golang.org/x/sys",                   // which instructions Keccak may use
	"golang.org/x/text",                  // one form of a name
}

// derive are the pure packages of services that computed what a receipt says.
var derive = []string{
	"pkg/apportion", "pkg/payout", "pkg/register",
	"pkg/quotes", "pkg/pricing",
}

// reach are the standard packages that could ask somebody.
var reach = []string{"net", "net/http", "os/exec", "plugin", "runtime/cgo"}

// The command is small enough to be read by who relies on it, and has nothing to
// ask anybody with, on this machine and in a browser.
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
