package peertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Tessera reads our policies and reaches the same verdict on every set of
// cosignatures.
func TestTesseraAgreesOnQuorums(t *testing.T) {
	_, key, log := newLog(t, 3)
	c := log.Published()
	signed, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	const crowd = 6
	lines := "log " + key.String() + "\n"
	var cosigned []string
	for i := range crowd {
		w, err := tlog.NewCosigner(fmt.Sprintf("witness.example/w%d", i), sha256.Sum256(fmt.Append(nil, i)), 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		lines += fmt.Sprintf("witness w%d %s http://w%d.example/\n", i, w.PublicKey(), i)
		with, err := c.Sign(w)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(with), "\n\n")
		cosigned = append(cosigned, line)
	}
	random := rand.New(rand.NewPCG(3, 7))
	verdicts := map[bool]int{}
	for n := range 40 {
		// A random tree of groups over all witnesses, each of which is used at
		// most once.
		var free []string
		for i := range crowd {
			free = append(free, fmt.Sprintf("w%d", i))
		}
		text := lines
		for g := 0; len(free) > 1 && g < 4; g++ {
			random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
			k := 1 + random.IntN(len(free))
			most := []string{"any", "all", fmt.Sprint(1 + random.IntN(k))}[random.IntN(3)]
			name := fmt.Sprintf("g%d", g)
			text += fmt.Sprintf("group %s %s %s\n", name, most, strings.Join(free[:k], " "))
			free = append(free[k:], name)
		}
		quorum := free[random.IntN(len(free))]
		if n%20 == 0 {
			quorum = "none"
		}
		text += "quorum " + quorum + "\n"
		ours, err := tlog.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		theirs, err := tessera.NewWitnessGroupFromPolicy([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for set := range 1 << crowd {
			note := string(signed)
			for i, line := range cosigned {
				if set>>i&1 == 1 {
					note += line
				}
			}
			_, opened, err := tlog.OpenCheckpoint([]byte(note), c.Origin, key.Public(), ours.Verifiers()...)
			if err != nil {
				t.Fatal(err)
			}
			err = ours.Check(opened)
			if err != nil && !errors.Is(err, tlog.ErrQuorum) {
				t.Fatal(err)
			}
			want := theirs.Satisfied([]byte(note))
			if verdicts[want]++; want != (err == nil) {
				t.Fatalf("set %b: %t, %v\n%s", set, want, err, text)
			}
		}
	}
	if verdicts[true] < 200 || verdicts[false] < 200 {
		t.Errorf("verdicts %v", verdicts)
	}
	t.Logf("verdicts %v", verdicts)
}
