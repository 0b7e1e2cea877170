package issue_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// An operator replaces one log with another, signs it with the right key, and
// leaves everything else unchanged. The figures are the same, but the roots in
// barrier and declaration give it away. Fails when these are not compared.
func TestALogThatIsExchangedIsNotTheOneThatWasRestedOn(t *testing.T) {
	old := keep(t, audittest.Story(t))
	for _, test := range []struct {
		name, id, log string
		decision      func(events.Body) events.Body
		movement      func(*events.Movement)
	}{
		{"an event's decisions", "meter-1#3", "control", func(b events.Body) events.Body {
			if p, ok := b.(events.QuotePolicyDeclared); ok { // It priced nothing.
				p.PegHold = audittest.Amount(t, "0.03")
				return p
			}
			return b
		}, nil},
		{"a payout's register", old.payoutOf(t, "d1", "carol"), "register", nil, func(m *events.Movement) {
			if m.Kind == events.Frozen { // Frozen units also earn.
				m.Units = money.UnitsOf(2)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			edited := keepWith(t, audittest.Retold(t, test.decision, test.movement), old)
			r, err := receipt.Parse(old.issue(t, test.id))
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, edited, r, test.log)
			data, err := r.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if verdict, err := receipt.Verify(data, old.key); err == nil || !strings.Contains(err.Error(), "does not have the root that was in the streams") {
				t.Errorf("%v\n%s", err, verdict.String())
			}
		})
	}
}

// split returns the data of a receipt's messages.
func split(t *testing.T, r *receipt.Receipt) (list [][]byte) {
	t.Helper()
	all, err := io.ReadAll(flate.NewReader(bytes.NewReader(r.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Messages {
		n := r.Messages[i].Bytes
		list, all = append(list, all[:n:n]), all[n:]
	}
	return list
}

// exchange puts the messages and proofs of one log of another installation into a
// receipt.
func exchange(t *testing.T, k kept, r *receipt.Receipt, name string) {
	t.Helper()
	log, err := k.open(name)
	if err != nil {
		t.Fatal(err)
	}
	c, signed, err := log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	path := func(hashes []tlog.Hash, err error) (list receipt.Path) {
		if err != nil {
			t.Fatal(err)
		}
		list = receipt.Path{}
		for _, h := range hashes {
			list = append(list, len(r.Hashes))
			r.Hashes = append(r.Hashes, h)
		}
		return list
	}
	for i := range r.Logs {
		if r.Logs[i].Name == name {
			r.Logs[i].Checkpoint = string(signed)
		}
	}
	size := uint64(0)
	for i := range r.Trees {
		tree := &r.Trees[i]
		if tree.Log != name {
			continue
		}
		size = tree.Size
		tree.Path = path(tlog.ConsistencyProof(size, c.Size, log.Tile))
		if tree.Root, err = tlog.RootOf(size, log.Tile); err != nil {
			t.Fatal(err)
		}
	}
	if size == 0 {
		t.Fatalf("nothing rests on %s", name)
	}
	stream := k.Control
	if name == "register" {
		stream = k.Register
	}
	all := split(t, r)
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Log != name {
			continue
		}
		message, err := stream.Get(t.Context(), m.Position)
		if err != nil {
			t.Fatal(err)
		}
		all[i], m.Subject, m.Bytes = message.Data, message.Subject, len(message.Data)
		in := c.Size
		if m.Position <= size {
			in = size
		}
		m.Path = path(tlog.InclusionProof(in, m.Position-1, log.Tile))
	}
	if err := r.SetData(all); err != nil {
		t.Fatal(err)
	}
}

// A receipt contains the cosignatures of its checkpoints, and a policy must be
// satisfied by every one of them. Fails when a receipt is accepted although one
// log has no quorum.
func TestAReceiptIsVerifiedByAPolicy(t *testing.T) {
	k := keep(t, audittest.Story(t))
	text := fmt.Sprintf("log %s\n", k.key)
	var cosigners []*tlog.Cosigner
	for i := range 3 {
		w, err := tlog.NewCosigner(fmt.Sprintf("witness.example/w%d", i), [32]byte{byte(i + 1)}, 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		cosigners = append(cosigners, w)
		text += fmt.Sprintf("witness w%d %s\n", i, w.PublicKey())
	}
	policy, err := tlog.ParsePolicy([]byte(text + "group two 2 w0 w1 w2\nquorum two\n"))
	if err != nil {
		t.Fatal(err)
	}
	// cosign lets some witnesses cosign what is published.
	cosign := func(by string, who ...int) {
		t.Helper()
		for _, stream := range keeper.Kept(k.dir) {
			log, err := k.open(keeper.LogName(stream))
			if err != nil {
				t.Fatal(err)
			}
			c, signed, err := log.Checkpoint()
			if err != nil {
				t.Fatal(err)
			}
			signed = slices.Clone(signed)
			for _, i := range who {
				with, err := c.Sign(cosigners[i])
				if err != nil {
					t.Fatal(err)
				}
				_, line, _ := strings.Cut(string(with), "\n\n")
				signed = append(signed, line...)
			}
			if err := os.WriteFile(filepath.Join(keeper.LogDir(k.dir, stream), by), signed, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	verify := func() error {
		_, err := receipt.VerifyBy(k.issue(t, "meter-1#3"), receipt.Trust{Keys: []*tlog.PublicKey{k.key}, Policy: policy})
		return err
	}
	if err := verify(); !errors.Is(err, tlog.ErrQuorum) {
		t.Errorf("nobody has cosigned: %v", err)
	}
	cosign(tiles.CosignedBySome, 1)
	if err := verify(); !errors.Is(err, tlog.ErrQuorum) {
		t.Errorf("one has: %v", err)
	}
	cosign(tiles.CosignedBySome, 0, 2)
	if err := verify(); err != nil {
		t.Errorf("two have: %v", err)
	}
	cosign(tiles.CosignedByAll, 0, 1, 2)
	verdict, err := receipt.VerifyBy(k.issue(t, "meter-1#3"), receipt.Trust{Keys: []*tlog.PublicKey{k.key}, Policy: policy})
	if err != nil || len(verdict.Signed) != 2 || len(verdict.Signed[0].Witnesses) != 3 {
		t.Errorf("all have: %+v, %v", verdict.Signed, err)
	}
	// One of the two logs has no cosignature.
	for _, by := range []string{tiles.CosignedByAll, tiles.CosignedBySome} {
		if err := os.Remove(filepath.Join(keeper.LogDir(k.dir, "CONTROL"), by)); err != nil {
			t.Fatal(err)
		}
	}
	if err := verify(); !errors.Is(err, tlog.ErrQuorum) || !strings.Contains(err.Error(), "/control") {
		t.Errorf("one log has none: %v", err)
	}
	if _, err := receipt.VerifyBy(k.issue(t, "meter-1#3"), receipt.Trust{}); err == nil {
		t.Error("nobody is trusted")
	}
}
