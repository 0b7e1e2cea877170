package keeper

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// signedBy fails the test unless the current key has signed every log at this
// size.
func (p *place) signedBy(keys *tlog.Succession, size uint64) {
	p.t.Helper()
	for _, log := range []string{"control", "usage-0-0"} {
		signed, err := os.ReadFile(filepath.Join(p.dir, "tlog", log, "checkpoint"))
		if err != nil {
			p.t.Fatal(err)
		}
		c, _, by, err := keys.Open(signed, log)
		if err != nil || by.String() != keys.Current().String() || c.Size != size {
			p.t.Fatalf("%s: %d leaves by %v, %v", log, c.Size, by, err)
		}
	}
}

// The new key continues the trees that the old one has handed over. What the old
// key signed before is still believed, what it signs afterwards is not. Fails
// when the sizes of a handover are not compared, or when the second copy of the
// checkpoint is not signed again.
func TestAKeyThatIsRotatedHandsItsLogsOver(t *testing.T) {
	p := newPlace(t)
	p.publish(p.control, 5)
	p.publish(p.usage, 5)
	p.store.position = 5
	p.keep()
	first, err := ReadPublicKey(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	oldKey, err := EnsureKey(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(p.dir, "tlog", "control", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for _, nobody := range []string{"", "a\nb", strings.Repeat("x", 201)} {
		if _, err := rotate(p.dir, nobody, time.Now(), nil); err == nil {
			t.Errorf("%q rotates", nobody)
		}
	}
	for n := uint64(1); n <= 3; n++ {
		keys, err := rotate(p.dir, "operator:ada", time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys.Handovers()) != int(n) || keys.Installation() != first.Name() {
			t.Fatalf("%d handovers of %s", len(keys.Handovers()), keys.Installation())
		}
		p.signedBy(keys, 5*n)
		p.publish(p.control, 5)
		p.publish(p.usage, 5)
		p.store.position += 5
		p.keep()
		p.signedBy(keys, 5*n+5)
		if h := keys.Handovers()[n-1]; h.Actor != "operator:ada" || len(h.Logs) != 2 || h.Logs[0].Size != 5*n {
			t.Fatalf("%+v", h)
		}
		// Verifies by the first key alone, and by any key with the handovers.
		for _, key := range append(keys.Keys(), first) {
			s, err := tlog.NewSuccession(key, keys.Notes()...)
			if err != nil {
				t.Fatal(err)
			}
			p.signedBy(s, 5*n+5)
			if _, _, by, err := s.Open(old, "control"); err != nil || by.String() != first.String() {
				t.Errorf("what the first key signed then: %v", err)
			}
			beyond, err := (&tlog.Checkpoint{Origin: first.Origin("control"), Size: 6, Root: tlog.EmptyRoot()}).Sign(oldKey)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := s.Open(beyond, "control"); err == nil || !strings.Contains(err.Error(), "larger than what its key had signed") {
				t.Errorf("what the first key signs now: %v", err)
			}
		}
	}
	text, err := os.ReadFile(PrivateKeyFile(p.dir))
	if err != nil || strings.Contains(string(text), oldKey.Private()) {
		t.Errorf("the old key is still there: %v", err)
	}
	// The origin of a log that lost its handovers is unknown.
	if err := os.Remove(HandoversFile(p.dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(); err == nil {
		t.Error("it opens without the handovers")
	}
}

// After a crash at any step the next start finds one key that signs everything:
// the old one or the new one. Fails when the new key is not on disk before the
// handover.
func TestARotationThatCrashesIsDoneOrUndone(t *testing.T) {
	crash := errors.New("crash")
	outcomes := map[int]int{}
	for step := 0; ; step++ {
		p := newPlace(t)
		p.publish(p.control, 5)
		p.publish(p.usage, 5)
		p.store.position = 5
		p.keep()
		asked, crashed := 0, false
		_, err := rotate(p.dir, "operator:ada", time.Now(), func(string, string) error {
			if asked++; asked > step {
				crashed = true
				return crash
			}
			return nil
		})
		if (err == nil) == crashed {
			t.Fatalf("step %d: %v", step, err)
		}
		_, keys, err := EnsureKeys(p.dir)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		outcomes[len(keys.Handovers())]++
		p.signedBy(keys, 5)
		if public, err := Keys(p.dir); err != nil || public.Current().String() != keys.Current().String() {
			t.Errorf("step %d: the public key is another: %v", step, err)
		}
		p.publish(p.control, 3)
		p.publish(p.usage, 3)
		p.store.position = 8
		p.keep()
		p.signedBy(keys, 8)
		for _, log := range []string{"control", "usage-0-0"} {
			if _, ok := remembered(p.dir, log, keys.Origin(log), keys); !ok {
				t.Errorf("step %d: the checkpoint of %s beside the second copy is not of the key", step, log)
			}
		}
		if !crashed {
			break
		}
		if _, err := rotate(p.dir, "operator:ada", time.Now(), nil); err != nil {
			t.Errorf("step %d: again: %v", step, err)
		}
	}
	if outcomes[0] < 5 || outcomes[1] < 10 {
		t.Errorf("undone and done: %v", outcomes)
	}
}

func TestAFolderThatIsNotWholeIsNotRotated(t *testing.T) {
	p := newPlace(t)
	p.publish(p.control, 5)
	p.keep()
	file := filepath.Join(p.dir, "tlog", "control", "checkpoint")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rotate(p.dir, "operator:ada", time.Now(), nil); err == nil {
		t.Error("a log without a checkpoint is handed over")
	}
	if _, err := os.Stat(HandoversFile(p.dir)); err == nil {
		t.Error("there is a handover")
	}
}
