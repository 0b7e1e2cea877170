package document

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// walk reads documents of the members name, of one value, list, of values, and
// free, a mapping of any names to values. It returns the values that it saw.
func walk(r *Reader, data string) (seen []string) {
	for _, root := range r.Documents([]byte(data)) {
		m := r.Members(root, "", "name", "list", "free")
		scalar := func(n *yaml.Node, field string) {
			if s, ok := r.Scalar(n, field); ok {
				seen = append(seen, field+"="+s)
			}
		}
		if n := m["name"]; n != nil {
			scalar(n, "name")
		}
		if n := m["list"]; n != nil {
			for i, item := range r.Items(n, "list") {
				scalar(item, At("list", i))
			}
		}
		if n := m["free"]; n != nil {
			for _, pair := range r.Pairs(n, "free") {
				scalar(pair.Value, pair.Field)
			}
		}
	}
	return seen
}

func TestEveryMistakeHasItsPlace(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"a name that is unknown", "nam: x\n", "f.yaml:1:1: nam: is not known here: name, list, free"},
		{"a name given twice", "name: x\nlist: [a]\nname: y\n", "f.yaml:3:1: name: is given twice, first in line 1"},
		{"a name that is a list", "? [a]\n: b\n", "f.yaml:1:3: is not known here: name, list, free"},
		{"a merge key", "<<: {name: x}\n", "f.yaml:1:1: <<: is not known here: name, list, free"},
		{"a free name given twice", "free:\n  a: 1\n  a: 2\n", "f.yaml:3:3: free.a: is given twice, first in line 2"},
		{"a merge key among free names", "free: {<<: {a: 1}}\n", "f.yaml:1:8: free.<<: is not a name"},
		{"a list for free names", "free: [a]\n", "f.yaml:1:7: free: should be a mapping of names to values"},
		{"a list for a document", "- a\n", "f.yaml:1:1: should be a mapping with name, list, free"},
		{"a list for a value", "name: [a]\n", "f.yaml:1:7: name: should be one value, not a list or a mapping"},
		{"a value of nothing", "name:\n", "f.yaml:1:6: name: has no value"},
		{"a value for a list", "list: a\n", "f.yaml:1:7: list: should be a list"},
		{"an item of nothing", "list: [a, null]\n", "f.yaml:1:11: list[1]: has no value"},
		{"a second document", "name: a\n---\nnam: b\n", "f.yaml:3:1: nam: is not known here: name, list, free"},
		{"an alias of nothing", "name: *a\n", "f.yaml:1:1: not YAML: unknown anchor 'a' referenced"},
		{"a tab for indentation", "name: a\nlist:\n\t- x\n", "f.yaml:3:1: not YAML: found character that cannot start any token"},
		{"a file that is too long", "name: " + strings.Repeat("x", 200) + "\n", "f.yaml:1:1: the file has more than 200 bytes: split it"},
		{"hostile text", "\"\\u001b[8m" + strings.Repeat("x", 60) + "\": a\n", "f.yaml:1:1: \uFFFD[8m" + strings.Repeat("x", 44) + "…: is not known here: name, list, free"},
		{"two mistakes, ascending", "name: []\nnam: x\n", "f.yaml:1:7: name: should be one value, not a list or a mapping\nf.yaml:2:1: nam: is not known here: name, list, free"},
	} {
		r := New("f.yaml", Limits{Bytes: 200, TooLong: "split it", Aliases: 10})
		walk(r, c.text)
		var problems Problems
		if err := r.Err(); !errors.As(err, &problems) || err.Error() != c.want {
			t.Errorf("%s: got\n%v\nwant\n%s", c.why, err, c.want)
		}
	}
}

func TestScalarsStayAsTheyAreWritten(t *testing.T) {
	r := New("f.yaml", Limits{Bytes: 1 << 10, Aliases: 1})
	got := walk(r, "---\n---\nname: 0.10\nlist: [no, 1e3, 0x10, 2023-01-01, 'null', &a 007, *a]\nfree: {b: \"\", a: 1_0}\n")
	want := "[name=0.10 list[0]=no list[1]=1e3 list[2]=0x10 list[3]=2023-01-01 list[4]=null list[5]=007 list[6]=007 free.b= free.a=1_0]"
	if err := r.Err(); err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAliasesAreRefusedOrBounded(t *testing.T) {
	text := "free: &f {a: 1, b: 2}\nlist: [" + strings.Repeat("*f, ", 20) + "]\n"
	for _, c := range []struct {
		aliases int
		want    string
	}{
		{0, "f.yaml:2:8: list[0]: aliases may not be used here"},
		{1, "list[19]: should be one value, not a list or a mapping"}, // 26 values, in more bytes
	} {
		r := New("f.yaml", Limits{Bytes: 1 << 10, Aliases: c.aliases})
		walk(r, text)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: got %v", c.aliases, err)
		}
	}
	r := New("f.yaml", Limits{Bytes: 1 << 10, Aliases: 10})
	root := r.Documents([]byte("name: &n [a, *n]\n"))[0].Content[1]
	steps := 0
	for n := root; n != nil && steps < 1000; steps++ {
		items := r.Items(n, "name")
		n = nil
		if len(items) == 2 {
			n = items[1]
		}
	}
	if err := r.Err(); !r.Full() || steps >= 1000 || err == nil || !strings.Contains(err.Error(), "the aliases of the file stand for too many values") {
		t.Errorf("%d steps, %v", steps, err)
	}
}

func TestProblemsEndSomewhere(t *testing.T) {
	r := New("f.yaml", Limits{Bytes: 1 << 20})
	walk(r, strings.Repeat("x: 1\n", 1000))
	var problems Problems
	if err := r.Err(); !errors.As(err, &problems) || len(problems) != 100 || !r.Full() {
		t.Errorf("%d problems", len(problems))
	}
}
