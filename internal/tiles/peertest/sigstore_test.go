package peertest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// inclusion is a proof in the form that sigstore.js reads.
type inclusion struct {
	Leaf  []byte      `json:"leaf"`
	Index uint64      `json:"index,string"`
	Size  uint64      `json:"size,string"`
	Path  []tlog.Hash `json:"path"`
	Root  tlog.Hash   `json:"root"`
}

// The Merkle verification of npm @sigstore/verify, which is not written in Go,
// accepts our proofs and rejects each of them with one byte flipped.
func TestSigstoreAcceptsOurProofs(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node absent")
	}
	if _, err := os.Stat("node_modules/@sigstore/verify"); err != nil {
		t.Skip("@sigstore/verify absent: npm ci in this folder installs it")
	}
	_, _, log := newLog(t, 3000)
	c := log.Published()
	var input bytes.Buffer
	var want []string
	add := func(p inclusion, verdict string) {
		line, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		input.Write(append(line, '\n'))
		want = append(want, verdict)
	}
	for _, index := range []uint64{0, 255, 256, 1500, 2047, 2048, 2999} {
		path, _, err := log.Reader().Inclusion(index)
		if err != nil {
			t.Fatal(err)
		}
		p := inclusion{leaf(int(index)), index, c.Size, path, c.Root}
		add(p, "accepted")
		for i := range path {
			p.Path[i][i%32] ^= 1
			add(p, "rejected")
			p.Path[i][i%32] ^= 1
		}
		p.Leaf[3] ^= 1
		add(p, "rejected")
		p.Leaf[3] ^= 1
		p.Root[31] ^= 1
		add(p, "rejected")
		p.Root[31] ^= 1
		p.Index ^= 1
		add(p, "rejected")
	}
	command := exec.Command(node, "sigstore.js")
	command.Stdin = &input
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("running node: %v: %s", err, complaint.String())
	}
	got := strings.Fields(string(output))
	if len(got) != len(want) {
		t.Fatalf("%d verdicts on %d proofs", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("proof %d is %s, want %s", i, got[i], want[i])
		}
	}
}
