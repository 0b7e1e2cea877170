package tlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// crowd is a set of witnesses, each of which can cosign one checkpoint.
type crowd struct {
	key       *Key
	cosigners []*Cosigner
}

func newCrowd(t testing.TB, n int) *crowd {
	t.Helper()
	key, err := NewKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{key: key}
	for i := range n {
		w, err := NewCosigner(fmt.Sprintf("witness.example/w%d", i+1), [32]byte{byte(i + 100)}, 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		c.cosigners = append(c.cosigners, w)
	}
	return c
}

// lines returns the log and witness lines of a policy.
func (c *crowd) lines() string {
	text := "log " + c.key.String() + "\n"
	for i, w := range c.cosigners {
		text += fmt.Sprintf("witness w%d %s\n", i+1, w.PublicKey())
	}
	return text
}

// check checks a checkpoint that the witnesses with these numbers, from 1, have
// cosigned.
func (c *crowd) check(t testing.TB, policy string, who ...int) error {
	t.Helper()
	p, err := ParsePolicy([]byte(policy))
	if err != nil {
		t.Fatalf("%s: %v", policy, err)
	}
	checkpoint := Checkpoint{Origin: c.key.Origin("control"), Size: 1, Root: LeafHash(nil)}
	signed, err := checkpoint.Sign(c.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range who {
		with, err := checkpoint.Sign(c.cosigners[i-1])
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(with), "\n\n")
		signed = append(signed, line...)
	}
	_, opened, err := OpenCheckpoint(signed, checkpoint.Origin, c.key.Public(), p.Verifiers()...)
	if err != nil {
		t.Fatal(err)
	}
	return p.Check(opened)
}

// Fails when a threshold is off by one, or when a group counts a member twice.
func TestQuorums(t *testing.T) {
	c := newCrowd(t, 6)
	const spec = "group x 2 w1 w2 w3\ngroup y any w4 w5 w6\ngroup both all x y\nquorum both\n"
	for _, test := range []struct {
		name, rules string
		who         []int
		enough      bool
	}{
		{"none wants nobody", "quorum none\n", nil, true},
		{"one witness, there", "quorum w2\n", []int{2}, true},
		{"one witness, another there", "quorum w2\n", []int{1, 3, 4, 5, 6}, false},
		{"any, with one", "group g any w1 w2\nquorum g\n", []int{2}, true},
		{"any, with nobody", "group g any w1 w2\nquorum g\n", nil, false},
		{"all, with all", "group g all w1 w2\nquorum g\n", []int{1, 2}, true},
		{"all, with one missing", "group g all w1 w2\nquorum g\n", []int{1}, false},
		{"two of three, with two", "group g 2 w1 w2 w3\nquorum g\n", []int{1, 3}, true},
		{"two of three, with one", "group g 2 w1 w2 w3\nquorum g\n", []int{3}, false},
		{"two of three, with one of them and others", "group g 2 w1 w2 w3\nquorum g\n", []int{3, 4, 5}, false},
		{"the example of the specification", spec, []int{1, 3, 6}, true},
		{"it, with one of the first group", spec, []int{1, 4, 5, 6}, false},
		{"it, with none of the second group", spec, []int{1, 2, 3}, false},
		{"a quorum before groups that it does not want", "quorum w1\ngroup g any w1 w2\n", []int{1}, true},
		{"comments, tabs and blanks", "\t# of w1 only \n\n  quorum\tw1  \n#\n", []int{1}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := c.check(t, c.lines()+test.rules, test.who...)
			if (err == nil) != test.enough || err != nil && !errors.Is(err, ErrQuorum) {
				t.Errorf("%v: %v", test.who, err)
			}
		})
	}
}

func TestPoliciesThatAreNone(t *testing.T) {
	c := newCrowd(t, 3)
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "no quorum line"},
		{"no quorum", c.lines(), "no quorum line"},
		{"two quorums", c.lines() + "quorum w1\nquorum w1\n", "line 6: a second quorum"},
		{"a quorum of nobody that is known", c.lines() + "quorum w9\n", `line 5: "w9": no line above defines the name`},
		{"a quorum of two", c.lines() + "quorum w1 w2\n", "line 5: the line has too many or too few words"},
		{"a word that is not known", "quorum none\nwitnes w1\n", `line 2: "witnes": a line must begin with log`},
		{"a group of nobody", c.lines() + "group g any\nquorum g\n", "line 5: the line has too many or too few words"},
		{"a group of a later one", c.lines() + "group g any h w1\ngroup h any w2\nquorum g\n", `line 5: "h": no line above defines the name`},
		{"a group of none", c.lines() + "group g any none\nquorum g\n", `line 5: "none": no line above defines the name`},
		{"a group of itself", c.lines() + "group g any g\nquorum g\n", "line 5"},
		{"a member twice in a group", c.lines() + "group g 2 w1 w1\nquorum g\n", `"w1": the name is already a member`},
		{"a member of two groups", c.lines() + "group g any w1\ngroup h any w1\nquorum g\n", `line 6: "w1": the name is already a member`},
		{"a threshold of none", c.lines() + "group g 0 w1\nquorum g\n", `line 5: "0": want all, any`},
		{"a threshold of more", c.lines() + "group g 3 w1 w2\nquorum g\n", `line 5: "3": want all, any`},
		{"a threshold of -1", c.lines() + "group g -1 w1 w2\nquorum g\n", `line 5: "-1": want all, any`},
		{"a threshold with a zero before", c.lines() + "group g 01 w1 w2\nquorum g\n", `line 5: "01": want all, any`},
		{"a group with a witness's name", c.lines() + "group w1 any w2\nquorum w1\n", `line 5: "w1": the name is already defined`},
		{"a group named none", c.lines() + "group none any w2\nquorum none\n", `line 5: "none": the name is already defined`},
		{"one witness twice", c.lines() + "witness other " + c.cosigners[0].PublicKey() + "\nquorum w1\n", "line 5: the key is already in the policy"},
		{"one log twice", c.lines() + "log " + c.key.String() + "\nquorum w1\n", "line 5: the key is already in the policy"},
		{"a log with a witness's key", "log " + c.cosigners[0].PublicKey() + "\nquorum none\n", "line 1"},
		{"a witness with a log's key", "witness w " + c.key.String() + "\nquorum none\n", "line 1"},
		{"a key that is cut", "log " + c.key.String()[:40] + "\nquorum none\n", "line 1"},
		{"a carriage return", "quorum none\r\n", "line 1: a control character"},
		{"a log of four words", "log " + c.key.String() + " http://x y\nquorum none\n", "line 1: the line has too many"},
		{"too long", strings.Repeat("#", MaxPolicy) + "\nquorum none\n", "longer than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParsePolicy([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, %v; want %q", p, err, test.want)
			}
		})
	}
}

func TestAPolicySaysWhereTheyAre(t *testing.T) {
	c := newCrowd(t, 1)
	p, err := ParsePolicy([]byte("log " + c.key.String() + " http://log.example\nwitness w\xe4 " + c.cosigners[0].PublicKey() + " https://w.example/x\nquorum w\xe4"))
	if err != nil || p.Logs[0].URL != "http://log.example" || p.Witnesses[0].URL != "https://w.example/x" || p.Witnesses[0].Name != "w\xe4" {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	c := newCrowd(f, 3)
	f.Add([]byte(c.lines() + "group g 2 w1 w2 w3\nquorum g\n"))
	f.Add([]byte("quorum none\n# x\n\tlog\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if p.quorum >= len(p.members) || len(p.members) != len(p.Witnesses)+len(p.groups) {
			t.Fatalf("%+v", p)
		}
		for _, g := range p.groups {
			if g.most < 1 || g.most > len(g.members) {
				t.Fatalf("%+v", g)
			}
		}
	})
}
