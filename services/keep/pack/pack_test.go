package pack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/audittest"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
	"github.com/aliquot-engine/aliquot/services/keep/pack"
)

// kept keeps a story's streams in a folder.
func kept(t testing.TB, w *audittest.World) (dir string, key *tlog.Key) {
	t.Helper()
	dir = t.TempDir()
	k, err := keeper.Open(t.Context(), keeper.Config{Dir: dir, Usage: []*eventlog.Stream{w.Usage}, Store: w.DB, Every: time.Millisecond,
		Streams: []*eventlog.Stream{w.Control, w.Register, w.Ledger, w.Payout}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	err = k.Wait(ctx)
	cancel()
	<-done
	if err = errors.Join(err, k.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, k.Key()
}

func packed(t testing.TB, dir string, key *tlog.Key, name string) (*pack.Manifest, error) {
	t.Helper()
	return pack.Write(pack.Packed{Dir: dir, Streams: keeper.Kept(dir), Key: key.Public(), KeyText: key.Public().String(), Made: audittest.Noon}, name)
}

// opened opens a pack that is a folder or a file.
func opened(t testing.TB, name string, key keeper.Verifier) (*pack.Pack, error) {
	t.Helper()
	dir, err := pack.Folder(name, t.TempDir())
	if err != nil {
		return nil, err
	}
	return pack.Open(dir, key)
}

// same compares a stream with one of a pack, message by message.
func same(t *testing.T, p *pack.Pack, want *eventlog.Stream) {
	t.Helper()
	have, err := p.Stream(want.Name())
	if err != nil {
		t.Fatal(err)
	}
	last, err := want.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := have.Last(t.Context()); err != nil || got != last || last == 0 {
		t.Fatalf("%s ends at %d, not %d: %v", want.Name(), got, last, err)
	}
	if last == 0 {
		return
	}
	r, err := have.Read(t.Context(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	for at := uint64(1); at <= last; at++ {
		m, err := want.Get(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o, err := have.Get(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []eventlog.Message{n, o} {
			if x.Seq != at || x.Subject != m.Subject || !bytes.Equal(x.Data, m.Data) || !x.Time.Equal(m.Time) || x.Header.Get("Nats-Msg-Id") != m.Header.Get("Nats-Msg-Id") {
				t.Fatalf("%s %d: %+v, not %+v", want.Name(), at, x, m)
			}
		}
	}
}

func TestWhatIsPackedIsRead(t *testing.T) {
	w := audittest.Story(t)
	dir, key := kept(t, w)
	for _, name := range []string{"pack", "pack.tar"} {
		t.Run(name, func(t *testing.T) {
			name = filepath.Join(t.TempDir(), name)
			m, err := packed(t, dir, key, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := packed(t, dir, key, name); err == nil {
				t.Error("it was written over")
			}
			p, err := opened(t, name, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			for _, stream := range []*eventlog.Stream{w.Usage, w.Control, w.Register, w.Ledger, w.Payout} {
				same(t, p, stream)
			}
			if !slices.EqualFunc(p.Extents(), m.Streams, func(a, b pack.Extent) bool {
				return slices.Contains(m.Streams, a) && slices.Contains(p.Extents(), b)
			}) {
				t.Errorf("%+v is read, %+v was packed", p.Extents(), m.Streams)
			}
			if found, err := p.Examine(t.Context()); err != nil || len(found) > 0 {
				t.Errorf("%v %v", found, err)
			}
			if usage := p.Usage(); !slices.Equal(usage, []string{w.Usage.Name()}) {
				t.Errorf("usage %v", usage)
			}
		})
	}
	t.Run("nothing is packed that is not signed", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "pack")
		if _, err := packed(t, dir, key, name); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".key") {
				t.Errorf("%s is packed", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func flip(t *testing.T, dir, pattern string, at int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	data[(at+len(data))%len(data)] ^= 16
	if err := os.WriteFile(found[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// forge writes the archive of decisions again with the first one edited, and with
// all of the archive's own checksums right.
func forge(t *testing.T, dir string, edit func(*archive.Message)) {
	t.Helper()
	dir = filepath.Join(dir, "archive", "control")
	r, err := archive.Read(dir, "CONTROL", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = archive.Rewrite(dir, "CONTROL", 1, t.TempDir(), func() (archive.Message, error) {
		m, err := r.Next()
		if err == nil && m.Position == 1 {
			before := fmt.Sprint(m)
			edit(&m)
			m.SHA256 = sha256.Sum256(m.Data)
			if fmt.Sprint(m) == before {
				t.Fatal("nothing is edited")
			}
		}
		return m, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Fails when a message is returned before it was compared, or when a missing end
// is taken for the end.
func TestWhatIsMissingOrAlteredInAPackIsNamed(t *testing.T) {
	w := audittest.Story(t)
	dir, key := kept(t, w)
	whole := filepath.Join(t.TempDir(), "pack")
	if _, err := packed(t, dir, key, whole); err != nil {
		t.Fatal(err)
	}
	remove := func(t *testing.T, dir, name string) {
		if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(t *testing.T, dir, name string, by int64) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		info, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, info.Size()-by)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const usage = "archive/usage-0-0/000000000001.arc"
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		stream string
		side   keeper.Side
		atOnce bool // found before messages are read
	}{
		{"a bit of a message", func(t *testing.T, dir string) { flip(t, dir, usage, -9) }, "USAGE-0-0", keeper.SideArchive, false},
		{"a bit of the first record's head", func(t *testing.T, dir string) { flip(t, dir, "archive/control/*.arc", 32) }, "CONTROL", keeper.SideArchive, false},
		{"a bit of a file's head", func(t *testing.T, dir string) { flip(t, dir, "archive/ledger/*.arc", 3) }, "LEDGER", keeper.SideArchive, false},
		{"the end of a file", func(t *testing.T, dir string) { cut(t, dir, "archive/payout/000000000001.arc", 1) }, "PAYOUT", keeper.SideArchive, false},
		{"a file", func(t *testing.T, dir string) { remove(t, dir, "archive/register/000000000001.arc") }, "REGISTER", keeper.SideArchive, true},
		{"an archive", func(t *testing.T, dir string) { remove(t, dir, "archive/usage-0-0") }, "USAGE-0-0", keeper.SideArchive, true},
		{"a log", func(t *testing.T, dir string) { remove(t, dir, "tlog/control") }, "CONTROL", keeper.SideLog, true},
		{"a bit of a tile", func(t *testing.T, dir string) { flip(t, dir, "tlog/control/tile/0/000.p/*", 40) }, "CONTROL", keeper.SideLog, true},
		{"a bit of a bundle of leaves", func(t *testing.T, dir string) { flip(t, dir, "tlog/usage-0-0/tile/entries/000.p/*", 12) }, "USAGE-0-0", keeper.SideLog, true},
		{"a bit of a checkpoint", func(t *testing.T, dir string) { flip(t, dir, "tlog/payout/checkpoint", -4) }, "PAYOUT", keeper.SideLog, true},
		{"a decision that somebody has written anew", func(t *testing.T, dir string) {
			forge(t, dir, func(m *archive.Message) { m.Data = bytes.Replace(m.Data, []byte("acme"), []byte("evil"), 1) })
		}, "CONTROL", keeper.SideArchive, false},
		{"a subject that somebody has written anew", func(t *testing.T, dir string) {
			forge(t, dir, func(m *archive.Message) { m.Subject = "control.Other" })
		}, "CONTROL", keeper.SideArchive, false},
		{"another stream's archive", func(t *testing.T, dir string) {
			remove(t, dir, "archive/payout")
			if err := os.Rename(filepath.Join(dir, "archive/ledger"), filepath.Join(dir, "archive/payout")); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(dir, "archive/ledger"), os.DirFS(filepath.Join(whole, "archive/ledger"))); err != nil {
				t.Fatal(err)
			}
		}, "PAYOUT", keeper.SideArchive, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pack")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			test.damage(t, dir)
			p, err := pack.Open(dir, key.Public())
			var found []*keeper.Difference
			if damage := (*pack.Damage)(nil); errors.As(err, &damage) {
				found = damage.Differences
			} else if err != nil {
				t.Fatal(err)
			}
			if (len(found) > 0) != test.atOnce {
				t.Errorf("found when it is opened: %v", found)
			}
			if !test.atOnce {
				s, err := p.Stream(test.stream)
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.Read(t.Context(), 1, "")
				if err != nil {
					t.Fatal(err)
				}
				defer r.Stop()
				for err == nil {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					_, err = r.Next(ctx)
					cancel()
				}
				var d *keeper.Difference
				if !errors.As(err, &d) {
					t.Fatalf("the reader says %v", err)
				}
				if found, err = p.Examine(t.Context()); err != nil || len(found) == 0 || *found[0] != *d {
					t.Fatalf("the reader found %v, examining %v, %v", d, found, err)
				}
			}
			for _, d := range found {
				t.Log(d)
				if d.Stream != test.stream || d.Side != test.side || d.First == 0 || d.Last < d.First || d.Problem == "" {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// Fails when every difference except the first is hidden.
func TestSeveralDamagesAreAllNamed(t *testing.T) {
	dir, key := kept(t, audittest.Story(t))
	name := filepath.Join(t.TempDir(), "pack")
	if _, err := packed(t, dir, key, name); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"archive/usage-0-0/*.arc", "archive/control/*.arc", "archive/ledger/*.arc"} {
		flip(t, name, pattern, -5)
		flip(t, name, pattern, 150)
	}
	p, err := pack.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.Examine(t.Context())
	if err != nil || len(found) != 6 {
		t.Fatalf("%v %v", found, err)
	}
}

func TestArchivesOfSomebodyElseAreRefused(t *testing.T) {
	w := audittest.Story(t)
	dir, key := kept(t, w)
	name := filepath.Join(t.TempDir(), "pack")
	if _, err := packed(t, dir, key, name); err != nil {
		t.Fatal(err)
	}
	other, err := tlog.NewKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Open(name, other.Public()); err == nil || !strings.Contains(err.Error(), "signed") {
		t.Errorf("another key: %v", err)
	}
	if _, err := pack.Open(t.TempDir(), key.Public()); err == nil {
		t.Error("an empty folder is opened")
	}
	// A pack without its end either says so in the manifest, or the manifest
	// gives it away.
	text, err := os.ReadFile(filepath.Join(name, "pack.json"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := pack.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	last := m.Streams[0].Last
	text = bytes.Replace(text, []byte(`"last": `), []byte(`"last": 9`), 1)
	if err := os.WriteFile(filepath.Join(name, "pack.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *pack.Damage
	if _, err := pack.Open(name, key.Public()); !errors.As(err, &damage) || damage.Differences[0].First != last+1 {
		t.Errorf("more was packed: %v", err)
	}
}
