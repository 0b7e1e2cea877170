// Command build compiles aliquot-verify for browsers, into the folder from
// which the page is assembled. It is a step of building aliquot, and not part
// of the binary: see the Taskfile.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/aliquot-engine/aliquot/services/console/verifier"
)

const command = "github.com/aliquot-engine/aliquot/cmd/aliquot-verify"

func main() {
	folder := flag.String("o", filepath.Join("services", "console", "verifier", "built"), "folder to write to")
	flag.Parse()
	if err := build(context.Background(), *folder); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// build runs the go command in the current directory, which must be in the
// module. Its output contains neither the directory's name nor the state of the
// repository, so that anybody can build the same bytes.
func build(ctx context.Context, folder string) error {
	root, err := run(ctx, nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	version, err := run(ctx, nil, "go", "env", "GOVERSION")
	if err != nil {
		return err
	}
	runtime, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib", "wasm", verifier.RuntimeFile))
	if err != nil {
		return fmt.Errorf("reading the compiler's runtime for browsers: %w", err)
	}
	scratch, err := os.MkdirTemp("", "aliquot-verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	file := filepath.Join(scratch, "aliquot-verify.wasm")
	if _, err := run(ctx, []string{"GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWASM="},
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file, command); err != nil {
		return err
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	compressor, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := compressor.Write(wasm); err != nil {
		return err
	}
	if err := compressor.Close(); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{verifier.ProgramFile, packed.Bytes()}, {verifier.RuntimeFile, runtime}, {verifier.VersionFile, []byte(version)}} {
		if err := os.WriteFile(filepath.Join(folder, f.name), f.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command and returns its output; the error contains what it wrote to
// standard error.
func run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}
