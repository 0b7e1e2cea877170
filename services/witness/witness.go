// Package witness is what an auditor runs for somebody else's logs: it remembers
// the largest tree of each log that it has seen, and cosigns only trees that
// extend it.
//
// The method is C2SP tlog-witness and tlog-cosignature: a log submits its
// checkpoint with a proof that it extends the tree cosigned before
// ([Witness.Handler]), or the witness fetches checkpoint and tiles and makes that
// proof itself ([Puller]). A verifier whose policy requires witnesses can then
// not be shown another history than everybody else, unless the witnesses help.
//
// # Invariants
//
//   - What was cosigned is a chain: each tree of a log begins with the one
//     cosigned before it.
//   - Stored before sent: a cosignature leaves only when its tree is on the
//     witness's own disk, so no crash makes the witness forget one.
//   - One at a time: comparing with the last tree and storing the new one are one
//     step.
//   - An unreadable tree is not forgotten: nothing of that log is cosigned until
//     a person has looked.
//   - A tree that contradicts another under the log's own signature is kept with
//     it, as evidence that does not need trust in the witness.
//
// # Files
//
//	witness.key               the witness's own key: a secret
//	witness.pub               what verifies its cosignatures
//	logs/<installation>/<log> the checkpoint cosigned last, as a signed note
//	keys/<installation>       the handovers of its logs' keys, as JSON
//	evidence/<name>.json      two checkpoints that contradict each other
package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Config says who the witness is and whose logs it watches.
type Config struct {
	// Dir is the witness's own folder. It is created if it is missing. A witness
	// that loses it believes the next tree that it is shown.
	Dir string
	// Name is the name of the witness's key if it has none yet; an empty name is
	// made from the key.
	Name string
	// Keys are public keys of logs, one for each installation: any one of the
	// keys that the installation has had.
	Keys []*tlog.PublicKey
	// Now returns the time of a cosignature.
	Now func() time.Time
	// Logger receives what is refused; nil means slog.Default.
	Logger *slog.Logger
	// Fault, in tests, is called before each step that changes the disk.
	Fault durable.Fault
}

// Witness cosigns. Any number of goroutines may use it, but only one process may
// use a folder.
type Witness struct {
	config Config
	name   string
	seed   [32]byte
	key    *tlog.CosignatureKey
	public string
	lock   *os.File

	mu     sync.Mutex // guards what follows, and the files
	logs   []*watched // one an installation
	alarms int        // contradictions found since the start
}

// watched is one installation.
type watched struct {
	trusted *tlog.PublicKey // the key that was configured
	keys    *tlog.Succession
}

var (
	// ErrUnknown means that the log is not watched.
	ErrUnknown = errors.New("the origin does not belong to a log that is watched")
	// ErrUnsigned means that the checkpoint has no signature of the log's key.
	ErrUnsigned = errors.New("not signed by a key of the log")
	// ErrMalformed means that the submission cannot be read.
	ErrMalformed = errors.New("malformed")
	// ErrProof means that the checkpoint was not proved to extend the one
	// cosigned last.
	ErrProof = errors.New("there is no proof that it extends the tree that was cosigned last")
	// ErrNoKeys means that no log is watched.
	ErrNoKeys = errors.New("no public key of a log is given")
	// ErrHeld means that another process uses the folder.
	ErrHeld = errors.New("another witness runs on this folder")

	errState = errors.New("the tree that was cosigned last cannot be read: nothing is cosigned until a person has looked")
)

// Conflict means that the tree from which the submitter starts is not the one
// cosigned last, or that another tree of this size was cosigned.
type Conflict struct {
	Size  uint64 // size of the tree that was cosigned last
	Split bool   // the same size with another root
}

// Error describes the conflict.
func (c *Conflict) Error() string {
	if c.Split {
		return fmt.Sprintf("a tree of %d leaves with another root was cosigned", c.Size)
	}
	return fmt.Sprintf("the tree cosigned last has %d leaves", c.Size)
}

// Open opens a witness's folder, and creates folder and key the first time.
func Open(config Config) (*Witness, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if len(config.Keys) == 0 {
		return nil, fmt.Errorf("opening the witness: %w", ErrNoKeys)
	}
	w := &Witness{config: config}
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the witness: %w", err), w.Close())
	}
	return w, nil
}

func (w *Witness) open() (err error) {
	if err := w.makeFolders(); err != nil {
		return err
	}
	if w.lock, err = hold(filepath.Join(w.config.Dir, "lock")); err != nil {
		return err
	}
	if err := w.openKey(); err != nil {
		return err
	}
	for _, key := range w.config.Keys {
		keys, err := w.readKeys(key)
		if err != nil {
			return err
		}
		for _, other := range w.logs {
			if other.keys.Installation() == keys.Installation() {
				return fmt.Errorf("%s is given twice", keys.Installation())
			}
		}
		w.logs = append(w.logs, &watched{trusted: key, keys: keys})
	}
	return nil
}

func (w *Witness) makeFolders() error {
	for _, dir := range []string{"", "logs", "keys", "evidence"} {
		if err := durable.MakeFolder(filepath.Join(w.config.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the folder.
func (w *Witness) Close() error {
	if w.lock == nil {
		return nil
	}
	return w.lock.Close()
}

// PublicKey returns the verifier key of the witness's cosignatures.
func (w *Witness) PublicKey() string { return w.public }

// Alarms returns how often a log contradicted itself since the start. Because
// anybody may submit, a contradiction that only a submission claims is kept but
// does not count.
func (w *Witness) Alarms() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.alarms
}

// find returns the installation and the log of an origin. The caller holds the
// mutex.
func (w *Witness) find(origin string) (*watched, string, bool) {
	for _, l := range w.logs {
		if log, ok := l.keys.LogOf(origin); ok {
			return l, log, true
		}
	}
	return nil, "", false
}

// Add accepts a submission and returns the cosignature, as the line of a signed
// note. It fails with [ErrMalformed], [ErrUnknown], [ErrUnsigned], [Conflict] and
// [ErrProof]. Any other error means that the tree could not be stored, and that
// no cosignature was made.
func (w *Witness) Add(s *tlog.Submission) (line []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.look(s.Checkpoint)
	if err != nil {
		return nil, err
	}
	c.path = s.Path
	next, last, before := c.shown, c.seen, c.seenNote
	switch {
	case s.Old > next.Size:
		// A submitter that knows the larger tree that was cosigned and submits a
		// smaller one claims that the log has gone back.
		if before != nil && s.Old == last.Size {
			w.keep(c, Smaller)
		}
		return nil, fmt.Errorf("%w: the old size %d is more than the checkpoint's, %d", ErrMalformed, s.Old, next.Size)
	case next.Size == last.Size && next.Root != last.Root:
		if before != nil {
			w.keep(c, Split)
		}
		return nil, &Conflict{Size: last.Size, Split: true}
	case s.Old != last.Size:
		return nil, &Conflict{Size: last.Size}
	}
	if err := tlog.VerifyConsistency(last.Size, next.Size, s.Path, last.Root, next.Root); err != nil {
		if before != nil && next.Size > last.Size {
			w.keep(c, Unproved)
		}
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return w.cosign(c)
}

// look opens a checkpoint with the keys of its log, and finds what was cosigned
// last. The caller holds the mutex.
func (w *Witness) look(signed []byte) (*contradiction, error) {
	c := &contradiction{origin: tlog.Origin(signed)}
	var ok bool
	if c.of, c.log, ok = w.find(c.origin); !ok {
		return nil, fmt.Errorf("%.200q: %w", c.origin, ErrUnknown)
	}
	var opened *note.Note
	var err error
	if c.shown, opened, _, err = c.of.keys.Open(signed, c.log); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	// Only signatures that were verified are kept.
	c.note = &note.Note{Text: opened.Text, Sigs: opened.Sigs}
	if c.shownNote, err = note.Sign(c.note); err != nil {
		return nil, err
	}
	c.seen, c.seenNote, err = w.last(c.of, c.log)
	return c, err
}

// cosign stores a tree and returns its cosignature.
func (w *Witness) cosign(c *contradiction) ([]byte, error) {
	now := w.config.Now().Unix()
	cosigner, err := tlog.NewCosigner(w.name, w.seed, uint64(max(now, 0)))
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(c.note, cosigner)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	file := w.file(c.of, c.log)
	if err := durable.MakeFolder(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("remembering a checkpoint: %w", err)
	}
	if err := durable.Replace(file, signed, 0o600, w.config.Fault); err != nil {
		return nil, fmt.Errorf("remembering a checkpoint: %w", err)
	}
	// The signature of the cosigner is the last line.
	text := strings.TrimSuffix(string(signed), "\n")
	return []byte(text[strings.LastIndex(text, "\n")+1:] + "\n"), nil
}

func (w *Witness) file(of *watched, log string) string {
	return filepath.Join(w.config.Dir, "logs", filepath.Base(of.keys.Installation()), log)
}

// last returns the checkpoint of a log that was cosigned last, and its note. If
// there is none it returns the empty tree and nil.
func (w *Witness) last(of *watched, log string) (tlog.Checkpoint, []byte, error) {
	empty := tlog.Checkpoint{Origin: of.keys.Origin(log), Root: tlog.EmptyRoot()}
	signed, err := os.ReadFile(w.file(of, log))
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil, nil
	}
	if err == nil {
		// The witness's own signature shows that it wrote the file. The log's key
		// may have been handed over since.
		var c tlog.Checkpoint
		if c, _, err = tlog.OpenCheckpoint(signed, empty.Origin, w.key); err == nil {
			return c, signed, nil
		}
	}
	return empty, nil, fmt.Errorf("%s: %w: %w", w.file(of, log), errState, err)
}

// Seen is the tree of a log that was cosigned last.
type Seen struct {
	Origin string    `json:"origin"`
	Size   uint64    `json:"size"`
	Root   tlog.Hash `json:"root"`
	Note   string    `json:"note"` // with the cosignature
}

// Seen returns what was cosigned last of every log, ascending by file.
func (w *Witness) Seen() (list []Seen, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, of := range w.logs {
		names, err := w.remembered(of)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			c, signed, err := w.last(of, name)
			if err != nil {
				return nil, err
			}
			list = append(list, Seen{c.Origin, c.Size, c.Root, string(signed)})
		}
	}
	return list, nil
}

// remembered lists the logs that were ever cosigned. The caller holds the mutex.
func (w *Witness) remembered(of *watched) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(w.file(of, "any")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what was cosigned: %w", err)
	}
	for _, e := range entries {
		if tlog.IsLogName(e.Name()) { // A crash may have left other files.
			names = append(names, e.Name())
		}
	}
	return names, nil
}
