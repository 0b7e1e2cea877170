// Package acceptance has no code: its tests drive the built binary as a user
// does, and see what the product promises.
package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binaryVariable names the binary to test, as an absolute path. If it is not set,
// the binary is built once for all tests.
const binaryVariable = "ALIQUOT_BINARY"

func TestMain(m *testing.M) {
	code, err := withBinary(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withBinary(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "aliquot-acceptance-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	madeFolders = dir
	if os.Getenv(binaryVariable) != "" {
		return run(), nil
	}
	binary := filepath.Join(dir, "aliquot")
	root, err := repository()
	if err != nil {
		return 0, err
	}
	build := exec.Command("go", "build", "-o", binary, "./cmd/aliquot")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		return 0, err
	}
	return run(), nil
}

// repository finds the folder with go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// inRepository is a file of the repository.
func inRepository(t testing.TB, name string) string {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

// command prepares the binary with the repository as working folder and none of
// the tester's own settings. It dies with the test.
func command(ctx context.Context, t testing.TB, arguments ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(ctx, os.Getenv(binaryVariable), arguments...)
	c.Dir = inRepository(t, ".")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ALIQUOT_") {
			c.Env = append(c.Env, v)
		}
	}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// said is what a finished command left.
type said struct {
	line     string
	code     int
	out, err string
}

// patience is how long one command may take. What takes longer is asked for its
// goroutines.
const patience = 5 * time.Minute

// aliquot runs one command to its end.
func aliquot(t testing.TB, arguments ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, complaint bytes.Buffer
	c := command(ctx, t, arguments...)
	c.Stdout, c.Stderr = &out, &complaint
	c.Cancel, c.WaitDelay = func() error { return c.Process.Signal(syscall.SIGQUIT) }, 10*time.Second
	err := c.Run()
	s := said{line: strings.Join(arguments, " "), code: c.ProcessState.ExitCode(), out: out.String(), err: complaint.String()}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || s.code < 0 || ctx.Err() != nil {
		t.Fatalf("aliquot %s: %v\n%s%s", s.line, err, tail(s.err), kept(t, s.err))
	}
	return s
}

// kept writes a text that is too long for a test's log to a file that outlives
// the test.
func kept(t testing.TB, text string) string {
	t.Helper()
	f, err := os.CreateTemp("", "aliquot-acceptance-*.txt")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return err.Error()
	}
	return "\nall of it: " + f.Name()
}

// ok asserts that the command succeeded.
func (s said) ok(t testing.TB) said {
	t.Helper()
	if s.code != 0 {
		t.Fatalf("aliquot %s: exit %d\n%s%s", s.line, s.code, tail(s.out), tail(s.err))
	}
	return s
}

// into decodes the one JSON value that the command printed.
func (s said) into(t testing.TB, value any) said {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s.out))
	d.UseNumber()
	if err := d.Decode(value); err != nil {
		t.Fatalf("aliquot %s: not JSON: %v\n%s%s", s.line, err, tail(s.out), tail(s.err))
	}
	if d.More() {
		t.Fatalf("aliquot %s: more than one JSON value\n%s", s.line, tail(s.out))
	}
	return s
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
