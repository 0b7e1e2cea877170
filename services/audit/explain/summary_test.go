package explain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// tree is a node with children and facts at every level.
func tree(depth, children, facts int, name string) explain.Node {
	n := explain.Node{Summary: name}
	for i := range facts {
		n.Facts = append(n.Facts, explain.Fact{Name: fmt.Sprint("fact", i), Value: name})
	}
	for i := range children {
		if depth > 1 {
			child := tree(depth-1, children, facts, fmt.Sprintf("%s.%d", name, i))
			if i%2 == 0 {
				n.From = append(n.From, child)
			} else {
				n.To = append(n.To, child)
			}
		}
	}
	return n
}

func TestASummaryFitsOneScreen(t *testing.T) {
	for _, test := range []struct {
		name                   string
		depth, children, facts int
		lines                  int
		cut                    bool
		has, lacks             string
	}{
		{"what is short is there as a whole", 3, 2, 1, 24, false, "n.1.1", ""},
		{"what is far off is left out", 4, 3, 1, 24, true, "n.2\n", "n.0.0.0"},
		{"of the first distance that does not fit, what comes first", 2, 100, 0, 24, true, "n.0", "n.99"},
		{"a node with more facts than lines", 1, 0, 99, 24, true, "fact22", "fact23"},
		{"the node and its facts alone fill the screen", 3, 2, 23, 24, true, "fact22", "n.0"},
		{"one node", 1, 0, 0, 24, false, "n", "fact"},
		{"a chain", 60, 1, 0, 24, true, strings.Repeat("n", 1), strings.Repeat(".0", 30)},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := tree(test.depth, test.children, test.facts, "n")
			var short, full strings.Builder
			cut, err := explain.Summarize(&short, &n, test.lines)
			if err != nil {
				t.Fatal(err)
			}
			if err := explain.Write(&full, &n); err != nil {
				t.Fatal(err)
			}
			text := short.String()
			if cut != test.cut || strings.Count(text, "\n") > test.lines || !strings.Contains(text, test.has) || test.lacks != "" && strings.Contains(text, test.lacks) {
				t.Errorf("cut %t, %d lines:\n%s", cut, strings.Count(text, "\n"), text)
			}
			if !cut && text != full.String() {
				t.Errorf("it is whole and not the same:\n%s\nwant\n%s", text, full.String())
			}
			for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
				if !strings.Contains(full.String(), line+"\n") {
					t.Errorf("%q is not in the whole", line)
				}
			}
		})
	}
}
