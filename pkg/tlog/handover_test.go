package tlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"
)

func keysOf(t testing.TB, n int) []*Key {
	t.Helper()
	list := make([]*Key, n)
	for i := range list {
		var err error
		if list[i], err = NewKey([32]byte{byte(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// between returns the handover from key n-1 to key n, at ten leaves for each key.
func between(t testing.TB, keys []*Key, n int) []byte {
	t.Helper()
	h := Handover{
		Installation: keys[0].Name(), Number: uint64(n), Old: keys[n-1].Public(), New: keys[n].Public(),
		At: time.Unix(1_700_000_000, 0), Actor: "operator:ada",
		Logs: []Signed{{"control", uint64(10 * n), Hash{byte(n)}}, {"ledger", uint64(10 * n), Hash{byte(n)}}},
	}
	signed, err := h.Sign(keys[n-1], keys[n])
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Fails when a handover is accepted without one of its signatures, out of order,
// or for another installation.
func TestHandoversThatAreNotBelieved(t *testing.T) {
	keys := keysOf(t, 5)
	one, two, three := between(t, keys, 1), between(t, keys, 2), between(t, keys, 3)
	lines := func(n []byte, change func([]string) []string) []byte {
		return []byte(strings.Join(change(strings.Split(string(n), "\n")), "\n"))
	}
	other := Handover{Installation: keys[4].Name(), Number: 1, Old: keys[0].Public(), New: keys[1].Public(), At: time.Unix(1, 0), Actor: "x"}
	foreign, err := other.Sign(keys[0], keys[1])
	if err != nil {
		t.Fatal(err)
	}
	back := Handover{Installation: keys[0].Name(), Number: 2, Old: keys[1].Public(), New: keys[0].Public(), At: time.Unix(1, 0), Actor: "x"}
	circle, err := back.Sign(keys[1], keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		trusted *Key
		notes   [][]byte
		want    error
	}{
		{"the first key, and all that follow", keys[0], [][]byte{one, two, three}, nil},
		{"one in the middle", keys[2], [][]byte{one, two, three}, nil},
		{"the last one", keys[3], [][]byte{one, two, three}, nil},
		{"a key alone", keys[3], nil, nil},
		{"a stranger", keys[4], [][]byte{one, two, three}, errStranger},
		{"a key that comes later", keys[3], [][]byte{one, two}, errStranger},
		{"one that is left out", keys[0], [][]byte{one, three}, errSuccession},
		{"the first one left out", keys[2], [][]byte{two, three}, errSuccession},
		{"out of order", keys[0], [][]byte{two, one}, errSuccession},
		{"twice", keys[0], [][]byte{one, one}, errSuccession},
		{"of an installation that is not the first key's", keys[0], [][]byte{foreign}, errSuccession},
		{"back to a key that was", keys[0], [][]byte{one, circle}, errSuccession},
		{"without the old key's signature", keys[1], [][]byte{lines(one, func(l []string) []string { return append(l[:len(l)-3:len(l)-3], l[len(l)-2:]...) })}, errHandoverSign},
		{"without the new key's signature", keys[0], [][]byte{lines(one, func(l []string) []string { return append(l[:len(l)-2:len(l)-2], "") })}, errHandoverSign},
		{"with another size", keys[0], [][]byte{bytes.Replace(one, []byte("control 10"), []byte("control 90"), 1)}, errHandoverSign},
		{"by another actor", keys[0], [][]byte{bytes.Replace(one, []byte("ada"), []byte("eve"), 1)}, errHandoverSign},
		{"of another version", keys[0], [][]byte{bytes.Replace(one, []byte("v1"), []byte("v2"), 1)}, errHandover},
		{"a checkpoint", keys[0], [][]byte{[]byte("aliquot/x/control\n1\nAAAA\n\n— x y\n")}, errHandover},
		{"nothing", keys[0], [][]byte{nil}, errHandover},
		{"too many", keys[0], make([][]byte, MaxHandovers+1), errHandovers},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewSuccession(test.trusted.Public(), test.notes...)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if err == nil && len(test.notes) > 0 && (s.Installation() != keys[0].Name() || s.Current().String() != keys[len(test.notes)].String()) {
				t.Errorf("%s, %s", s.Installation(), s.Current())
			}
		})
	}
}

// Each key is accepted for trees from the one that it took over to the one that
// it handed over. Fails when a bound is off by one.
func TestAKeySignsOnlyWhatIsItsOwn(t *testing.T) {
	keys := keysOf(t, 3)
	s, err := NewSuccession(keys[0].Public(), between(t, keys, 1), between(t, keys, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key  int
		log  string
		size uint64
		root byte
		want error
	}{
		{0, "control", 0, 9, nil}, {0, "control", 9, 9, nil}, {0, "control", 10, 1, nil},
		{0, "control", 10, 9, errGivenAway}, {0, "control", 11, 9, errGivenAway},
		{1, "control", 9, 9, errNotGiven}, {1, "control", 10, 9, errNotGiven}, {1, "control", 10, 1, nil}, {1, "control", 15, 9, nil},
		{1, "control", 20, 2, nil}, {1, "control", 20, 9, errGivenAway}, {1, "control", 21, 9, errGivenAway},
		{2, "control", 19, 9, errNotGiven}, {2, "control", 20, 2, nil}, {2, "control", 1 << 40, 9, nil},
		// A log that began after the handovers.
		{0, "usage-0-1", 0, 9, nil}, {0, "usage-0-1", 1, 9, errGivenAway}, {2, "usage-0-1", 1, 9, nil},
	} {
		c := Checkpoint{Origin: s.Origin(test.log), Size: test.size, Root: Hash{test.root}}
		signed, err := c.Sign(keys[test.key])
		if err != nil {
			t.Fatal(err)
		}
		_, _, by, err := s.Open(signed, test.log)
		if !errors.Is(err, test.want) || err == nil && by.String() != keys[test.key].String() {
			t.Errorf("key %d, %s at %d: %v, want %v", test.key, test.log, test.size, err, test.want)
		}
		if _, _, _, err := s.Open(signed, "ledger"); err == nil {
			t.Errorf("%s opens as ledger", test.log)
		}
	}
	stranger := keysOf(t, 4)[3]
	signed, err := (&Checkpoint{Origin: s.Origin("control"), Size: 20, Root: Hash{2}}).Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Open(signed, "control"); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a stranger's signature: %v", err)
	}
	for origin, want := range map[string]string{s.Origin("control"): "control", s.Origin("usage-0-0"): "usage-0-0", s.Origin("../x"): "", s.Origin(""): "", keys[1].Origin("control"): ""} {
		if log, ok := s.LogOf(origin); ok != (want != "") || ok && log != want {
			t.Errorf("%s is log %q, %t", origin, log, ok)
		}
	}
}

func FuzzParseHandover(f *testing.F) {
	keys := keysOf(f, 2)
	f.Add(between(f, keys, 1))
	f.Add([]byte(handoverHead + "\n\n\n\n\n\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHandover(data)
		if err == nil && (h.Actor == "" || !strings.HasPrefix(string(data), h.text())) {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzParseSubmission(f *testing.F) {
	s := Submission{Old: 3, Path: []Hash{{1}, {2}}, Checkpoint: []byte("x\n1\nAAAA\n\n— x y\n")}
	f.Add(s.Marshal())
	f.Add([]byte("old 0\n\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSubmission(data)
		if err != nil {
			return
		}
		if again := s.Marshal(); !bytes.Equal(again, data) {
			t.Fatalf("%q is written as %q", data, again)
		}
		if len(s.Path) > 63 {
			t.Fatalf("%d hashes", len(s.Path))
		}
		_ = Origin(s.Checkpoint)
	})
}

// The tree that a reader builds from a stream has the root that the log signs.
func TestAStreamTreeIsTheLogs(t *testing.T) {
	var tree StreamTree
	var want Range
	if tree.Root() != [32]byte(EmptyRoot()) {
		t.Error("the empty tree")
	}
	for i := range uint64(300) {
		data := []byte{byte(i), byte(i >> 8)}
		tree.Append(i+1, "control.x", data)
		leaf := StreamLeaf{Position: i + 1, Subject: "control.x", Data: sha256.Sum256(data)}
		want.Append(LeafHash(leaf.Append(nil)))
		if tree.Size() != i+1 || tree.Root() != [32]byte(want.Root()) {
			t.Fatalf("at %d", i+1)
		}
	}
}
