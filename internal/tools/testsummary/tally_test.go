package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func TestTheLastLineCountsWhatRan(t *testing.T) {
	tests := []struct {
		name   string
		input  string
		steps  []step
		last   string
		ok     bool
		prints string
	}{
		{
			name: "a test that passes",
			input: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.5}`,
			last: "1 passed, 0 failed, 0 skipped", ok: true, prints: "ok   p: 1 passed, 0 failed, 0 skipped, 0.5s",
		},
		{
			// Fails when a parent is counted beside its subtests.
			name: "a parent is not counted beside its subtests",
			input: `{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA/y"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			last: "1 passed, 1 failed, 0 skipped",
		},
		{
			name: "a parent that fails by itself is counted",
			input: `{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA","Output":"the sum is wrong\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			last: "1 passed, 1 failed, 0 skipped", prints: "the sum is wrong",
		},
		{
			name: "a skipped test is named with its reason",
			input: `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: published data absent: uni.csv\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}`,
			last: "1 passed, 0 failed, 1 skipped", ok: true,
			prints: "skipped: p TestB: b_test.go:3: published data absent: uni.csv",
		},
		{
			name: "a test skipped in the second run and passed in the first is not missing",
			input: `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			last: "1 passed, 0 failed, 0 skipped", ok: true,
		},
		{
			name: "a package that does not build is a failure and shows why",
			input: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			last: "0 passed, 1 failed, 0 skipped", prints: "undefined: x",
		},
		{
			name: "a test that never ended is a failure",
			input: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}`,
			last: "0 passed, 1 failed, 0 skipped", prints: "timed out",
		},
		{
			name:  "input that stops in the middle of a package is a failure",
			input: `{"Action":"pass","Package":"p","Test":"TestA"}`,
			last:  "0 passed, 1 failed, 0 skipped",
		},
		{
			name:  "no test at all is not success",
			input: "go: cannot find main module\n",
			last:  "0 passed, 0 failed, 0 skipped", prints: "go: cannot find main module",
		},
		{
			name: "a failed step is a failure although every test passed",
			input: `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			steps: []step{{"vet", "0"}, {"lint", "1"}},
			last:  "1 passed, 1 failed, 0 skipped", prints: "step lint: failed with status 1",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			ok, err := run(strings.NewReader(test.input), bufio.NewWriter(&out), test.steps)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
			if last := lines[len(lines)-1]; last != test.last || ok != test.ok {
				t.Errorf("last line %q, ok %v; want %q, %v\n%s", last, ok, test.last, test.ok, out.String())
			}
			if !strings.Contains(out.String(), test.prints) {
				t.Errorf("output lacks %q:\n%s", test.prints, out.String())
			}
		})
	}
}

func TestAStepNeedsANameAndAStatus(t *testing.T) {
	for _, value := range []string{"", "lint", "=1", "lint="} {
		var steps stepFlags
		if steps.Set(value) == nil {
			t.Errorf("Set(%q) succeeded", value)
		}
	}
}
