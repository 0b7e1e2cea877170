package witness_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/witness"
)

// history is a log that an operator keeps. Two with the same seed and different
// words are the two histories of a split view.
type history struct {
	t    testing.TB
	key  *tlog.Key
	log  *tiles.Log
	dir  string
	word string
}

func newKey(t testing.TB, seed string) *tlog.Key {
	t.Helper()
	key, err := tlog.NewKey(sha256.Sum256([]byte(seed)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHistory(t testing.TB, key *tlog.Key, log, word string) *history {
	t.Helper()
	h := &history{t: t, key: key, dir: t.TempDir(), word: word}
	var err error
	if h.log, err = tiles.Open(h.dir, key.Origin(log), key); err != nil {
		t.Fatal(err)
	}
	return h
}

// grow makes the log this long and returns the published checkpoint.
func (h *history) grow(size uint64) []byte {
	h.t.Helper()
	var leaves [][]byte
	for i := h.log.Size(); i < size; i++ {
		word := h.word
		if i < 3 {
			word = "common"
		}
		leaves = append(leaves, fmt.Appendf(nil, "%s %d", word, i))
	}
	err := h.log.Append(leaves)
	if err == nil {
		err = h.log.Commit()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return h.checkpoint()
}

func (h *history) checkpoint() []byte {
	h.t.Helper()
	_, signed, err := h.log.Reader().Checkpoint()
	if err != nil {
		h.t.Fatal(err)
	}
	return signed
}

// from returns a submission of the published checkpoint, with the proof from a
// size.
func (h *history) from(old uint64) *tlog.Submission {
	h.t.Helper()
	path, err := tlog.ConsistencyProof(min(old, h.log.Size()), h.log.Size(), h.log.Reader().Tile)
	if err != nil {
		h.t.Fatal(err)
	}
	return &tlog.Submission{Old: old, Path: path, Checkpoint: h.checkpoint()}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t testing.TB, dir string, keys ...*tlog.Key) *witness.Witness {
	t.Helper()
	w, err := witness.Open(configOf(dir, keys...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func configOf(dir string, keys ...*tlog.Key) witness.Config {
	c := witness.Config{Dir: dir, Name: "witness.example/w1", Logger: quiet}
	for _, key := range keys {
		c.Keys = append(c.Keys, key.Public())
	}
	return c
}

// cosigned checks that a checkpoint with this line has a valid cosignature with
// the present time.
func cosigned(t testing.TB, w *witness.Witness, key *tlog.Key, log string, checkpoint, line []byte) {
	t.Helper()
	verifier, err := tlog.ParseCosignatureKey(w.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	_, opened, err := tlog.OpenCheckpoint(append(bytes.Clone(checkpoint), line...), key.Origin(log), key.Public(), verifier)
	if err != nil || len(opened.Sigs) != 2 || opened.Sigs[1].Name != "witness.example/w1" {
		t.Fatalf("%+v, %v", opened, err)
	}
	signature, err := base64.StdEncoding.DecodeString(opened.Sigs[1].Base64)
	if err != nil || len(signature) < 12 {
		t.Fatalf("cosigned as %q, %v", opened.Sigs[1].Base64, err)
	}
	// A key hash of 4 bytes comes first, then the time.
	if at := binary.BigEndian.Uint64(signature[4:]); time.Since(time.Unix(int64(at), 0)).Abs() > time.Hour {
		t.Fatalf("cosigned at %d", at)
	}
}

func evidence(t testing.TB, dir string) []witness.Evidence {
	t.Helper()
	list, err := witness.ReadEvidence(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Checks the statuses of C2SP tlog-witness. Fails when any of the checks of Add
// is left out, or when their order changes.
func TestSubmissionsAreAnsweredAsC2SPSays(t *testing.T) {
	key, stranger := newKey(t, "log"), newKey(t, "stranger")
	h := newHistory(t, key, "control", "one")
	h.grow(5)
	first := h.from(0)
	dir := t.TempDir()
	w := open(t, dir, key)
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	post := func(t *testing.T, body []byte) (int, string, http.Header) {
		t.Helper()
		response, err := http.Post(server.URL+"/add-checkpoint", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text), response.Header
	}
	status, line, _ := post(t, first.Marshal())
	if status != http.StatusOK {
		t.Fatal(status, line)
	}
	cosigned(t, w, key, "control", first.Checkpoint, []byte(line))
	h.grow(9)
	second := h.from(5)
	other := newHistory(t, key, "control", "two")
	other.grow(5)
	twin := other.from(5)
	other.grow(9)
	fork := other.from(5)
	foreign := newHistory(t, stranger, "control", "one")
	foreign.grow(9)
	unsigned, err := (&tlog.Checkpoint{Origin: key.Origin("control"), Size: 9, Root: h.log.Root()}).Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*tlog.Submission)) []byte {
		s := *second
		change(&s)
		return s.Marshal()
	}
	conflict := func(t *testing.T, text string, header http.Header) {
		if text != "5\n" || header.Get("Content-Type") != "text/x.tlog.size" {
			t.Errorf("%q, %s", text, header.Get("Content-Type"))
		}
	}
	for _, test := range []struct {
		name   string
		body   []byte
		status int
		also   func(*testing.T, string, http.Header)
	}{
		{"nothing", nil, http.StatusBadRequest, nil},
		{"no submission", []byte("old five\n\nx\n"), http.StatusBadRequest, nil},
		{"no checkpoint", []byte("old 5\n\n"), http.StatusBadRequest, nil},
		{"64 hashes", with(func(s *tlog.Submission) { s.Path = make([]tlog.Hash, 64) }), http.StatusBadRequest, nil},
		{"too long", append(second.Marshal(), bytes.Repeat([]byte("x"), tlog.MaxSubmission)...), http.StatusRequestEntityTooLarge, nil},
		{"an origin that nobody watches", foreign.from(5).Marshal(), http.StatusNotFound, nil},
		{"a log's name that cannot be", []byte(strings.Replace(string(second.Marshal()), "/control\n", "/../control\n", 1)), http.StatusNotFound, nil},
		{"a known origin, signed by another key", with(func(s *tlog.Submission) { s.Checkpoint = unsigned }), http.StatusForbidden, nil},
		{"a signature that was altered", with(func(s *tlog.Submission) {
			s.Checkpoint = bytes.Replace(s.Checkpoint, []byte("\n9\n"), []byte("\n8\n"), 1)
		}), http.StatusForbidden, nil},
		{"an old size beyond the checkpoint's", with(func(s *tlog.Submission) { s.Old = 10 }), http.StatusBadRequest, nil},
		{"an old size that is not what was cosigned", with(func(s *tlog.Submission) { s.Old = 4 }), http.StatusConflict, conflict},
		{"no old size, as of who does not know", h.from(0).Marshal(), http.StatusConflict, conflict},
		{"a proof that is too short", with(func(s *tlog.Submission) { s.Path = s.Path[1:] }), http.StatusUnprocessableEntity, nil},
		{"a proof that is too long", with(func(s *tlog.Submission) { s.Path = append(s.Path[:len(s.Path):len(s.Path)], tlog.Hash{}) }), http.StatusUnprocessableEntity, nil},
		{"another tree of the same size", twin.Marshal(), http.StatusConflict, conflict},
		{"a larger tree of another history", fork.Marshal(), http.StatusUnprocessableEntity, nil},
		{"the same tree again", first0(first, 5), http.StatusOK, nil},
		{"the next tree", second.Marshal(), http.StatusOK, nil},
		{"the first tree again, now smaller", first0(first, 5), http.StatusConflict, func(t *testing.T, text string, _ http.Header) {
			if text != "9\n" {
				t.Errorf("%q", text)
			}
		}},
		{"a smaller tree instead of the last", first0(first, 9), http.StatusBadRequest, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text, header := post(t, test.body)
			if status != test.status {
				t.Fatalf("%d %q, want %d", status, text, test.status)
			}
			if test.also != nil {
				test.also(t, text, header)
			}
			if status != http.StatusOK && strings.Contains(text, "—") {
				t.Errorf("it is signed: %s", text)
			}
		})
	}
	if response, err := http.Get(server.URL + "/add-checkpoint"); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, %v", response.Status, err)
	}
	kinds := map[witness.Kind]int{}
	for _, e := range evidence(t, dir) {
		kinds[e.Kind]++
		verifier := key.Public()
		seen, _, err := tlog.OpenCheckpoint([]byte(e.Seen), key.Origin("control"), verifier)
		if err != nil {
			t.Error(err)
		}
		shown, _, err := tlog.OpenCheckpoint([]byte(e.Shown), key.Origin("control"), verifier)
		if err != nil {
			t.Error(err)
		}
		if e.Kind == witness.Split && (seen.Size != shown.Size || seen.Root == shown.Root) {
			t.Errorf("no split: %+v", e)
		}
	}
	if kinds[witness.Split] != 1 || kinds[witness.Unproved] != 2 || kinds[witness.Smaller] != 1 || w.Alarms() != 1 {
		t.Errorf("evidence %v, %d alarms", kinds, w.Alarms())
	}
}

func first0(s *tlog.Submission, old uint64) []byte {
	again := *s
	again.Old, again.Path = old, nil
	return again.Marshal()
}

// An operator keeps two histories under one key and shows one to each of two
// witnesses. Each follows its own and refuses the other, so that neither history
// gets a quorum of both. Fails when a witness cosigns without a proof.
func TestASplitViewHasNoQuorum(t *testing.T) {
	key := newKey(t, "log")
	one, two := newHistory(t, key, "ledger", "one"), newHistory(t, key, "ledger", "two")
	dirs := []string{t.TempDir(), t.TempDir()}
	var policy strings.Builder
	fmt.Fprintf(&policy, "log %s\n", key.Public())
	var ws []*witness.Witness
	for i, dir := range dirs {
		c := configOf(dir, key)
		c.Name = fmt.Sprintf("witness.example/w%d", i+1)
		w, err := witness.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		ws = append(ws, w)
		fmt.Fprintf(&policy, "witness w%d %s\n", i+1, w.PublicKey())
	}
	policy.WriteString("group both all w1 w2\nquorum both\n")
	p, err := tlog.ParsePolicy([]byte(policy.String()))
	if err != nil {
		t.Fatal(err)
	}
	quorum := func(checkpoint []byte, lines ...[]byte) error {
		with := bytes.Clone(checkpoint)
		for _, line := range lines {
			with = append(with, line...)
		}
		_, opened, err := tlog.OpenCheckpoint(with, key.Origin("ledger"), key.Public(), p.Verifiers()...)
		if err != nil {
			return err
		}
		return p.Check(opened)
	}
	add := func(w *witness.Witness, s *tlog.Submission) []byte {
		line, err := w.Add(s)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	one.grow(3)
	two.grow(3) // still the same history
	if err := quorum(one.checkpoint(), add(ws[0], one.from(0)), add(ws[1], one.from(0))); err != nil {
		t.Fatalf("one history: %v", err)
	}
	one.grow(10)
	two.grow(10)
	line := add(ws[0], one.from(3))
	other := add(ws[1], two.from(3))
	if err := quorum(one.checkpoint(), line); !errors.Is(err, tlog.ErrQuorum) {
		t.Errorf("half a quorum: %v", err)
	}
	if err := quorum(one.checkpoint(), line, other); err == nil {
		t.Error("a cosignature of another tree counts")
	}
	for i, h := range []*history{two, one} {
		var conflict *witness.Conflict
		if line, err := ws[i].Add(h.from(10)); !errors.As(err, &conflict) || !conflict.Split || line != nil {
			t.Errorf("witness %d cosigns both: %v", i+1, err)
		}
		h.grow(12)
		if _, err := ws[i].Add(h.from(10)); !errors.Is(err, witness.ErrProof) {
			t.Errorf("witness %d goes over: %v", i+1, err)
		}
		if found := evidence(t, dirs[i]); len(found) != 2 || ws[i].Alarms() != 1 {
			t.Errorf("witness %d has %d pieces of evidence, %d alarms", i+1, len(found), ws[i].Alarms())
		}
	}
}

// After a crash at any step of storing, the witness that starts again has
// cosigned a chain: it remembers what it cosigned before, and refuses the other
// history. Fails when the cosignature leaves before the state is on disk.
func TestAWitnessThatCrashesAtAnyWriteForgetsNothing(t *testing.T) {
	key := newKey(t, "log")
	crash := errors.New("crash")
	for step := 0; ; step++ {
		one, two := newHistory(t, key, "payout", "one"), newHistory(t, key, "payout", "two")
		one.grow(4)
		dir := t.TempDir()
		w := open(t, dir, key)
		if _, err := w.Add(one.from(0)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		one.grow(7)
		two.grow(7)
		asked, crashed := 0, false
		c := configOf(dir, key)
		c.Fault = func(string, string) error {
			if asked++; asked > step {
				crashed = true
				return crash
			}
			return nil
		}
		w, err := witness.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		line, err := w.Add(one.from(4))
		if (err == nil) == crashed || crashed && line != nil {
			t.Fatalf("step %d: %q, %v", step, line, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = open(t, dir, key)
		seen, err := w.Seen()
		if err != nil || len(seen) != 1 {
			t.Fatalf("step %d: %+v, %v", step, seen, err)
		}
		if size := seen[0].Size; size != 4 && size != 7 || !crashed && size != 7 {
			t.Errorf("step %d: it has seen %d", step, size)
		}
		// It never cosigns the other history, and always the same one.
		if _, err := w.Add(two.from(seen[0].Size)); err == nil {
			t.Errorf("step %d: it cosigns the other history", step)
		}
		line, err = w.Add(one.from(seen[0].Size))
		if err != nil {
			t.Fatalf("step %d: it does not go on: %v", step, err)
		}
		cosigned(t, w, key, "payout", one.checkpoint(), line)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !crashed {
			if step < 5 {
				t.Fatalf("only %d steps", step)
			}
			return
		}
	}
}

func TestWhatCannotBeReadIsNotForgotten(t *testing.T) {
	key := newKey(t, "log")
	h := newHistory(t, key, "control", "one")
	h.grow(4)
	dir := t.TempDir()
	w := open(t, dir, key)
	if _, err := w.Add(h.from(0)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "logs", filepath.Base(key.Name()), "control")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "halved": data[:len(data)/2], "another size": bytes.Replace(data, []byte("\n4\n"), []byte("\n3\n"), 1),
		"the log's alone": h.checkpoint(),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, old := range []uint64{0, 3, 4} {
			if line, err := w.Add(h.from(old)); err == nil {
				t.Errorf("%s: cosigned from %d: %s", name, old, line)
			}
		}
		if _, err := w.Seen(); err == nil {
			t.Errorf("%s: seen", name)
		}
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(h.from(4)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(witness.KeyFile(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.Open(configOf(dir, key)); err == nil || !errors.Is(err, witness.ErrHeld) {
		t.Errorf("a second witness on the folder: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.Open(configOf(dir, key)); err == nil || !strings.Contains(err.Error(), "cosigned checkpoints, but no") {
		t.Errorf("a witness without its key: %v", err)
	}
}

// installation serves logs as the keeper does.
type installation struct {
	key  string
	logs map[string]*history
}

func (s *installation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/tlog/index.json" {
		_, _ = fmt.Fprintf(w, `{"installation":%q,"key":%q,"logs":["`, strings.SplitN(s.key, "+", 2)[0], s.key)
		first := ""
		for name := range s.logs {
			_, _ = io.WriteString(w, first+name)
			first = `","`
		}
		_, _ = io.WriteString(w, `"]}`)
		return
	}
	parts := strings.SplitN(r.URL.Path, "/", 4)
	h := s.logs[parts[2]]
	if h == nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix("/tlog/"+parts[2], h.log.Handler()).ServeHTTP(w, r)
}

// A witness that pulls makes the proofs from the tiles itself, and finds what the
// log hides. Fails when the result is not compared with what was cosigned.
func TestAPullerProvesFromTilesAndFindsContradictions(t *testing.T) {
	key := newKey(t, "log")
	honest := newHistory(t, key, "control", "one")
	honest.grow(300)
	site := &installation{key: key.Public().String(), logs: map[string]*history{"control": honest}}
	server := httptest.NewServer(site)
	defer server.Close()
	dir := t.TempDir()
	w := open(t, dir, key)
	p := w.Puller(server.URL)
	hidden := 0
	pull := func(size, seen uint64, kind witness.Kind, fault string) {
		t.Helper()
		list, err := p.Pull(t.Context())
		if err != nil || len(list) != 1+hidden {
			t.Fatalf("%+v, %v", list, err)
		}
		if one := list[0]; one.Size != size || one.Seen != seen || one.Kind != kind || (one.Fault == "") != (fault == "") || !strings.Contains(one.Fault, fault) {
			t.Fatalf("%+v, want %d %d %q %q", one, size, seen, kind, fault)
		}
	}
	pull(300, 300, "", "")
	pull(300, 300, "", "")
	honest.grow(70_000)
	pull(70_000, 70_000, "", "")
	cosignedNote, err := w.Seen()
	if err != nil || len(cosignedNote) != 1 || !strings.Contains(cosignedNote[0].Note, "— witness.example/w1 ") {
		t.Fatalf("%+v, %v", cosignedNote, err)
	}
	twin := newHistory(t, key, "control", "two")
	twin.grow(300)
	site.logs["control"] = twin
	pull(300, 70_000, witness.Rollback, "rollback")
	twin.grow(70_000)
	pull(70_000, 70_000, witness.Split, "split view")
	twin.grow(70_001)
	pull(70_001, 70_000, witness.Forked, "forked")
	if w.Alarms() != 3 || len(evidence(t, dir)) != 3 {
		t.Errorf("%d alarms, %d pieces of evidence", w.Alarms(), len(evidence(t, dir)))
	}
	site.logs["control"] = honest
	honest.grow(70_002)
	tile := filepath.Join(honest.dir, "tile", "1", "001.p", strconv.Itoa(70_002/256%256))
	good, err := os.ReadFile(tile)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[40] ^= 1
	if err := os.WriteFile(tile, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	pull(70_002, 70_000, "", "do not hash to its checkpoint")
	if err := os.Remove(tile); err != nil {
		t.Fatal(err)
	}
	pull(70_002, 70_000, "", "answered 500")
	if err := os.WriteFile(tile, good, 0o600); err != nil {
		t.Fatal(err)
	}
	pull(70_002, 70_002, "", "")
	if w.Alarms() != 3 {
		t.Errorf("what was only unreadable is an alarm: %d", w.Alarms())
	}
	// The log that was cosigned is hidden behind one of another installation and
	// a name that cannot be a log.
	site.logs = map[string]*history{"control": newHistory(t, newKey(t, "stranger"), "control", "one")}
	pull(0, 0, "", "does not belong to a log that is watched")
	site.logs, hidden = map[string]*history{"../control": honest}, 1
	pull(0, 0, "", "does not belong to a log that is watched")
	if list, err := p.Pull(t.Context()); err != nil || list[1].Log != "control" || list[1].Seen != 70_002 || !strings.Contains(list[1].Fault, "no longer listed") {
		t.Errorf("a log that is hidden: %+v, %v", list, err)
	}
	server.Close()
	if _, err := p.Pull(t.Context()); err == nil {
		t.Error("nobody answers, and it is well")
	}
}

// A witness that was given a key follows its handover, also after a restart, and
// then accepts no larger tree from the old key. Fails when the sizes of a
// handover are not compared.
func TestAWitnessFollowsAHandover(t *testing.T) {
	old, next, evil := newKey(t, "log"), newKey(t, "next"), newKey(t, "evil")
	h := newHistory(t, old, "control", "one")
	h.grow(4)
	dir := t.TempDir()
	w := open(t, dir, old)
	if _, err := w.Add(h.from(0)); err != nil {
		t.Fatal(err)
	}
	handover := tlog.Handover{
		Installation: old.Name(), Number: 1, Old: old.Public(), New: next.Public(), At: time.Unix(1_700_000_000, 0), Actor: "ada",
		Logs: []tlog.Signed{{Log: "control", Size: 4, Root: h.log.Root()}},
	}
	signed, err := handover.Sign(old, next)
	if err != nil {
		t.Fatal(err)
	}
	h.grow(6) // by the old key, which continues to sign
	byNext := h.from(4)
	if byNext.Checkpoint, err = (&tlog.Checkpoint{Origin: old.Origin("control"), Size: 6, Root: h.log.Root()}).Sign(next); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(byNext); !errors.Is(err, witness.ErrUnsigned) {
		t.Errorf("before the handover is known: %v", err)
	}
	if err := w.Follow([][]byte{signed}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(h.from(4)); !errors.Is(err, witness.ErrUnsigned) {
		t.Errorf("the old key beyond what it has handed over: %v", err)
	}
	if _, err := w.Add(byNext); err != nil {
		t.Errorf("the new key: %v", err)
	}
	usurped := handover
	usurped.New = evil.Public()
	if signed, err = usurped.Sign(old, evil); err != nil {
		t.Fatal(err)
	}
	if err := w.Follow([][]byte{signed}); err == nil {
		t.Error("the old key hands over twice, and is followed")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, dir, old)
	byNext.Old, byNext.Path = 6, nil
	if _, err := w.Add(byNext); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := w.Follow(nil); err != nil {
		t.Error(err)
	}
	if err := w.Follow([][]byte{[]byte("x")}); err == nil {
		t.Error("nonsense is followed")
	}
}

func TestAFolderWithoutKeysIsNotOpened(t *testing.T) {
	if _, err := witness.Open(witness.Config{Dir: t.TempDir()}); !errors.Is(err, witness.ErrNoKeys) {
		t.Error(err)
	}
	key := newKey(t, "log")
	if _, err := witness.Open(configOf(t.TempDir(), key, key)); err == nil {
		t.Error("one installation twice")
	}
	c := configOf(t.TempDir(), key)
	c.Name = "no name + at all"
	if _, err := witness.Open(c); err == nil {
		t.Error("a name that no note can have")
	}
}

// Whatever is submitted, the witness answers, and it cosigns only what is signed.
func FuzzAdd(f *testing.F) {
	key := newKey(f, "log")
	h := newHistory(f, key, "control", "one")
	h.grow(5)
	f.Add(h.from(0).Marshal())
	first := h.from(0)
	h.grow(9)
	f.Add(h.from(5).Marshal())
	f.Add([]byte("old 5\n\n\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := open(t, t.TempDir(), key)
		if _, err := w.Add(first); err != nil {
			t.Fatal(err)
		}
		s, err := tlog.ParseSubmission(body)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Marshal(), body) {
			t.Fatalf("%q is written as %q", body, s.Marshal())
		}
		line, err := w.Add(s)
		if err == nil && (!bytes.HasPrefix(line, []byte("— witness.example/w1 ")) || bytes.Count(line, []byte("\n")) != 1) {
			t.Fatalf("%q", line)
		}
	})
}
