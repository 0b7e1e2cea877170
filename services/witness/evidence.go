package witness

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/internal/durable"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// Kind says how two checkpoints contradict each other.
type Kind string

// The kinds. The first three are alarms, because only the log itself can cause
// them.
const (
	// Split is two trees of one size: the log has two histories, and both notes
	// are signed by its key.
	Split Kind = "split view"
	// Rollback is a log that publishes a smaller tree than it published before.
	Rollback Kind = "rollback"
	// Forked is a log that publishes a larger tree that, by the log's own tiles,
	// does not begin with the tree that the witness has seen.
	Forked Kind = "forked"

	// Unproved is a larger tree that was submitted with a wrong proof that it
	// begins with the tree that the witness has seen. Either the log has two
	// histories, or the submitter had no right proof: the log's tiles show which.
	Unproved Kind = "submitted without a valid consistency proof"
	// Smaller is a smaller tree that was submitted as the successor of the one
	// that the witness has seen.
	Smaller Kind = "submitted, but smaller"
)

func (k Kind) alarming() bool { return k == Split || k == Rollback || k == Forked }

// Evidence is a file of the folder evidence: both checkpoints with the signatures
// of the log's own key, so that anybody can see the contradiction.
type Evidence struct {
	Time   time.Time   `json:"time"`
	Kind   Kind        `json:"kind"`
	Origin string      `json:"origin"`
	Text   string      `json:"text"`  // what it means
	Seen   string      `json:"seen"`  // the checkpoint cosigned last, a signed note
	Shown  string      `json:"shown"` // the one that was refused, a signed note
	Proof  []tlog.Hash `json:"proof,omitempty"`
}

// contradiction is a checkpoint beside the one that was cosigned last. If they
// contradict each other, evidence is made of it.
type contradiction struct {
	of                  *watched
	log, origin         string
	note                *note.Note // shown, with the signatures that were verified
	seen, shown         tlog.Checkpoint
	seenNote, shownNote []byte
	path                []tlog.Hash
}

// maxEvidence is how many files are kept. Each one is about another tree that the
// log's key has signed, so only the log can cause many.
const maxEvidence = 1000

// keep writes evidence, once for each refused tree, and raises the alarm if only
// the log can have caused it. The caller holds the mutex.
func (w *Witness) keep(c *contradiction, kind Kind) {
	if kind.alarming() {
		w.alarms++
	}
	e := Evidence{
		Time: w.config.Now().UTC(), Kind: kind, Origin: c.origin, Seen: string(c.seenNote), Shown: string(c.shownNote), Proof: c.path,
		Text: fmt.Sprintf("%s: seen %d leaves with root %s, shown %d leaves with root %s", kind, c.seen.Size, c.seen.Root, c.shown.Size, c.shown.Root),
	}
	hash := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d %s\n%d %s\n", kind, c.origin, c.seen.Size, c.seen.Root, c.shown.Size, c.shown.Root))
	file := filepath.Join(w.config.Dir, "evidence", fmt.Sprintf("%x.json", hash[:12]))
	w.config.Logger.Error("refused: "+e.Text, "origin", c.origin, "evidence", file)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err == nil && len(entries) >= maxEvidence {
		err = fmt.Errorf("there are already %d files", len(entries))
	}
	var data []byte
	if err == nil {
		data, err = json.MarshalIndent(&e, "", "  ")
	}
	if err == nil {
		err = durable.Replace(file, append(data, '\n'), 0o600, w.config.Fault)
	}
	if err != nil {
		w.config.Logger.Error("keeping evidence", "file", file, "cause", err)
	}
}

// ReadEvidence reads the evidence in a witness's folder, the oldest first.
func ReadEvidence(dir string) (list []Evidence, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "evidence"))
	if err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "evidence", entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading evidence: %w", err)
		}
		var e Evidence
		if err := strict.Decode(data, &e); err != nil {
			return nil, fmt.Errorf("reading evidence %s: %w", entry.Name(), err)
		}
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(a, b Evidence) int { return a.Time.Compare(b.Time) })
	return list, nil
}
