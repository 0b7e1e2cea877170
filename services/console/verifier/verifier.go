// Package verifier is the page that verifies a receipt in a browser.
//
// The method: one HTML file contains the command aliquot-verify, compiled to
// WebAssembly and compressed, the runtime of its compiler, and a script that
// passes the two files to it. So the page runs the same code as the native
// command, and decides nothing itself.
//
// The command in build compiles the program into the folder built, which is
// empty in the repository; the task build of the Taskfile fills it before it
// builds the binary that embeds it. A binary that was built without the program
// has no page, and says so with [ErrNotBuilt].
//
// # Invariants
//
//   - One file: the page requests nothing, and its policy allows no request, no
//     other script and no other style.
//   - Reproducible: the same source and compiler give the same page, byte for byte,
//     so that anybody can build it and compare.
package verifier

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/receipt"
)

// Names of the files from which a [Program] is read.
const (
	ProgramFile = "aliquot-verify.wasm.gz"
	RuntimeFile = "wasm_exec.js"
	VersionFile = "version"
)

// FileName is the name of the page when it is written to a folder.
const FileName = "verify.html"

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

//go:embed all:built
var built embed.FS

var (
	// ErrNotBuilt means that the binary was built without the page's program.
	ErrNotBuilt = errors.New(`this binary was built without the verification page: "go -C internal/tools/task tool task build" builds one with it`)

	errCloses = errors.New("it would end the element that contains it")
)

// Program is aliquot-verify for the browser.
type Program struct {
	Wasm    []byte // gzip
	Runtime []byte // wasm_exec.js of the compiler that made Wasm
	Version string // version of that compiler, for people
}

// Page is the page and what its server sends with it.
type Page struct {
	HTML   []byte
	Policy string // Content-Security-Policy, which the page also contains
	SHA256 string // of HTML, in hexadecimal
}

// Built returns the page of the program that was embedded, or [ErrNotBuilt].
func Built() (Page, error) {
	sub, err := fs.Sub(built, "built")
	if err != nil {
		return Page{}, err
	}
	program, err := ReadProgram(sub)
	if err != nil {
		return Page{}, err
	}
	return program.Page()
}

// ReadProgram reads what the command in build wrote. It fails with [ErrNotBuilt]
// if a file is missing.
func ReadProgram(folder fs.FS) (Program, error) {
	var p Program
	var version []byte
	for _, file := range []struct {
		name string
		to   *[]byte
	}{{ProgramFile, &p.Wasm}, {RuntimeFile, &p.Runtime}, {VersionFile, &version}} {
		data, err := fs.ReadFile(folder, file.name)
		if errors.Is(err, fs.ErrNotExist) {
			return Program{}, ErrNotBuilt
		}
		if err != nil {
			return Program{}, fmt.Errorf("reading the page's program: %w", err)
		}
		*file.to = data
	}
	p.Version = strings.TrimSpace(string(version))
	return p, nil
}

// Page assembles the page. The policy names the one script and the one style by
// their hashes; everything else is denied.
func (p Program) Page() (Page, error) {
	script := string(p.Runtime) + "\n" + pageScript
	for _, inline := range []struct{ text, end string }{{script, "</script"}, {script, "<!--"}, {pageStyle, "</style"}} {
		if strings.Contains(strings.ToLower(inline.text), inline.end) {
			return Page{}, fmt.Errorf("assembling the page: %q: %w", inline.end, errCloses)
		}
	}
	policy := strings.Join([]string{
		"default-src 'none'",
		"script-src 'wasm-unsafe-eval' " + source(script),
		"style-src " + source(pageStyle),
		"img-src data:", // its icon
		"base-uri 'none'",
		"form-action 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
	digest := sha256.Sum256(p.Wasm)
	var page bytes.Buffer
	_, err := strings.NewReplacer(
		"{{policy}}", html.EscapeString(policy),
		"{{style}}", pageStyle,
		"{{longest}}", strconv.Itoa(receipt.MaxReceipt),
		"{{version}}", html.EscapeString(p.Version),
		"{{digest}}", hex.EncodeToString(digest[:]),
		"{{program}}", base64.StdEncoding.EncodeToString(p.Wasm),
		"{{script}}", script,
	).WriteString(&page, pageHTML)
	if err != nil {
		return Page{}, fmt.Errorf("assembling the page: %w", err)
	}
	sum := sha256.Sum256(page.Bytes())
	return Page{HTML: page.Bytes(), Policy: policy, SHA256: hex.EncodeToString(sum[:])}, nil
}

// source returns the name of an inline text in a Content Security Policy.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
