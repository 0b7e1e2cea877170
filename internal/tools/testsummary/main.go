// Command testsummary reads the output of "go test -json" from standard input
// and ends with an unambiguous count.
//
// It prints one line for each package when the package ends, the whole output
// of every failing test, the name and reason of every skipped one, the steps
// reported with -step, and then, alone on the last line,
//
//	N passed, N failed, N skipped
//
// Several runs may be read one after the other (plain, then -race). The exit
// status is 1 if anything failed or if no test ran at all.
//
// # Invariants
//
//   - Only leaves are counted: a test with subtests counts only if it fails or
//     skips by itself, so that no result is counted twice in a run.
//   - A package that fails without a failing test (it does not build, it timed
//     out, its process died) counts as one failure.
//   - A test that is skipped in one run but passes in another one is not listed
//     as skipped.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	var steps stepFlags
	flag.Var(&steps, "step", "`name=status` of a step beside the tests; a status other than 0 counts as a failure; repeatable")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	ok, err := run(os.Stdin, out, steps)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// flusher is a writer whose lines can be made visible while tests still run.
type flusher interface {
	io.Writer
	Flush() error
}

// run reads events until the end of in and reports whether everything passed.
func run(in io.Reader, out flusher, steps []step) (bool, error) {
	t := newTally(out)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			t.line(line)
			if flushErr := out.Flush(); flushErr != nil {
				return false, fmt.Errorf("printing: %w", flushErr)
			}
		}
		if err == io.EOF {
			ok := t.finish(steps)
			if flushErr := out.Flush(); flushErr != nil {
				return false, fmt.Errorf("printing: %w", flushErr)
			}
			return ok, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading test events: %w", err)
		}
	}
}

// A step is a check that ran in addition to the tests, such as vet or lint.
type step struct {
	name   string
	status string // the exit status, "0" for success
}

// stepFlags collects the repeatable -step flag.
type stepFlags []step

func (s *stepFlags) String() string { return fmt.Sprint(*s) }

func (s *stepFlags) Set(value string) error {
	name, status, found := strings.Cut(value, "=")
	if !found || name == "" || status == "" {
		return fmt.Errorf("step %q: want name=status", value)
	}
	*s = append(*s, step{name, status})
	return nil
}
