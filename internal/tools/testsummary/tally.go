package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// An event is one line of test2json (go doc test2json), with the fields that
// are used.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output: "p" or, for its tests, "p [p.test]"
	Test       string
	Elapsed    float64 // seconds; display only
	Output     string

	FailedBuild string // the ImportPath whose build output explains a failure
}

// A result is the result of one test in one run of its package.
type result struct {
	output  []string
	ended   string // "pass", "fail" or "skip"; empty while it runs
	hasSubs bool
}

// A running package has not ended yet. The same package may run again later.
type running struct {
	order   []string // tests in the order in which they started
	tests   map[string]*result
	output  []string // printed outside any test
	skipped int
}

// A tally adds up the runs of all packages.
type tally struct {
	out      io.Writer
	packages map[string]*running
	builds   map[string][]string // build output by import path

	passed  int
	failed  int
	ever    map[string]bool   // tests that passed in some run, by "package test"
	skips   []string          // "package test" in the order seen
	reasons map[string]string // why, by "package test"
}

func newTally(out io.Writer) *tally {
	return &tally{
		out:      out,
		packages: map[string]*running{},
		builds:   map[string][]string{},
		ever:     map[string]bool{},
		reasons:  map[string]string{},
	}
}

// line takes one line of input. Other lines are passed through, because the go
// command prints its own errors that way.
func (t *tally) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action == "" {
		fmt.Fprint(t.out, line)
		return
	}
	switch {
	case e.Action == "build-output":
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
	case e.Package == "":
		// build-fail: the package's own failure follows.
	case e.Test == "":
		t.packageEvent(e)
	default:
		t.testEvent(e)
	}
}

func (t *tally) pkg(name string) *running {
	p := t.packages[name]
	if p == nil {
		p = &running{tests: map[string]*result{}}
		t.packages[name] = p
	}
	return p
}

func (p *running) test(name string) *result {
	r := p.tests[name]
	if r == nil {
		r = &result{}
		p.tests[name] = r
		p.order = append(p.order, name)
	}
	return r
}

func (t *tally) testEvent(e event) {
	p := t.pkg(e.Package)
	r := p.test(e.Test)
	if i := strings.LastIndexByte(e.Test, '/'); i > 0 {
		p.test(e.Test[:i]).hasSubs = true
	}
	switch e.Action {
	case "output":
		r.output = append(r.output, e.Output)
	case "pass", "fail", "skip":
		r.ended = e.Action
	}
}

func (t *tally) packageEvent(e event) {
	p := t.pkg(e.Package)
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
	case "pass", "skip", "fail":
		t.end(e, p)
		delete(t.packages, e.Package)
	}
}

// end counts a package that has ended and prints its line.
func (t *tally) end(e event, p *running) {
	passed, failed := 0, 0
	for _, name := range p.order {
		r := p.tests[name]
		key := e.Package + " " + name
		switch {
		case r.ended == "fail" && p.failedBelow(name):
			// The subtest that failed is counted.
		case r.ended == "fail", r.ended == "" && e.Action == "fail":
			failed++
			fmt.Fprintf(t.out, "\n--- failed: %s\n%s\n", key, strings.Join(r.output, ""))
		case r.ended == "skip":
			p.skipped++
			if _, seen := t.reasons[key]; !seen {
				t.skips = append(t.skips, key)
			}
			t.reasons[key] = reason(r.output)
		case r.hasSubs:
			// Its subtests are counted.
		case r.ended == "pass":
			passed++
			t.ever[key] = true
		}
	}
	if e.Action == "fail" && failed == 0 {
		failed++
		fmt.Fprintf(t.out, "\n--- failed: %s\n%s%s\n", e.Package,
			strings.Join(t.builds[e.FailedBuild], ""), strings.Join(p.output, ""))
	}
	t.passed += passed
	t.failed += failed
	if passed+failed+p.skipped == 0 {
		return // no tests in it
	}
	word := "ok  "
	if failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(t.out, "%s %s: %d passed, %d failed, %d skipped, %.1fs\n", word, e.Package, passed, failed, p.skipped, e.Elapsed)
}

// failedBelow reports whether a subtest of the named test failed or never
// ended.
func (p *running) failedBelow(name string) bool {
	for _, other := range p.order {
		if strings.HasPrefix(other, name+"/") && (p.tests[other].ended == "fail" || p.tests[other].ended == "") {
			return true
		}
	}
	return false
}

// reason returns the last line that a skipped test logged, without its
// indentation.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		text := strings.TrimSpace(output[i])
		if text == "" || strings.HasPrefix(text, "---") || strings.HasPrefix(text, "===") {
			continue
		}
		return text
	}
	return "no reason given"
}

// finish prints the end of the report and reports whether everything passed.
func (t *tally) finish(steps []step) bool {
	for name, p := range t.packages {
		// The input ended in the middle of a package. Order does not matter
		// for a count, and there is at most one line for each.
		t.failed++
		fmt.Fprintf(t.out, "FAIL %s: never ended, %d tests started\n", name, len(p.order))
	}
	skipped := 0
	for _, key := range t.skips {
		if t.ever[key] {
			continue
		}
		skipped++
		fmt.Fprintf(t.out, "skipped: %s: %s\n", key, t.reasons[key])
	}
	ran := t.passed + t.failed
	for _, s := range steps {
		if s.status == "0" {
			fmt.Fprintf(t.out, "step %s: passed\n", s.name)
			continue
		}
		t.failed++
		fmt.Fprintf(t.out, "step %s: failed with status %s; its output is above\n", s.name, s.status)
	}
	if ran == 0 {
		fmt.Fprintln(t.out, "no test ran")
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, skipped)
	return t.failed == 0 && ran > 0
}
