// Package pack carries an installation's second copies, logs and public key to
// another machine, and reads them there as the streams that they are copies of.
//
// The method: a pack is a folder with the same layout as an installation's
// folder, or the same files in one tar file. [Write] copies exactly what the
// signed checkpoints cover. [Open] checks every log up to its signed root, and
// returns each stream as one that is read from its archive. A message is returned
// only after its hash was found to be the one that the log has signed for its
// position.
//
// # Invariants
//
//   - Nothing unsigned: what no checkpoint covers is neither packed nor read.
//   - Nothing left out: a position that is missing or altered ends the reading
//     with a [keeper.Difference] that names it; no position is skipped.
//   - Whole or not at all: a pack gets its name only when it is complete and on
//     disk.
//   - Bounded: one message and one bundle of leaves of each reader are in memory.
//
// # Files
//
//	pack.json                  what was packed: see [Manifest]
//	keys/log.pub               the key that verifies the logs
//	keys/handovers.json        how it came to be that key, if it is not the first
//	archive/<stream>/*.arc     the messages, as package archive has them
//	tlog/<stream>/             the log, as package tiles has it
//
// Streams are named in lower case. An installation's own folder has the same
// files except for pack.json, and can be opened too while nothing runs on it.
package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/strict"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
	"github.com/aliquot-engine/aliquot/services/keep/keeper"
)

// Names of files in a pack.
const (
	manifestName  = "pack.json"
	keyName       = "keys/log.pub"
	handoversName = "keys/handovers.json"
)

// Manifest says what a pack contains. It is not signed; the checkpoints are. What
// it says about the state is a claim that replaying proves or refutes.
type Manifest struct {
	Format  int               `json:"format" doc:"1."`
	Made    time.Time         `json:"made"`
	Key     string            `json:"key" doc:"Verifies the logs; trust it only if you know it from elsewhere."`
	Streams []Extent          `json:"streams"`
	State   *settlement.State `json:"state,omitempty" doc:"What the installation had derived when it was packed."`
}

// Extent is how much of a stream a pack contains.
type Extent struct {
	Stream string `json:"stream"`
	Last   uint64 `json:"last" doc:"Positions 1 to this one."`
	Root   string `json:"root" doc:"Root of the log at this size."`
}

// Damage is everything that was found wrong in a pack.
type Damage struct{ Differences []*keeper.Difference }

// Error names every position, one per line.
func (d *Damage) Error() string {
	var lines []string
	for _, one := range d.Differences {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "\n")
}

// Pack is an open pack. Its methods may be called from any goroutine.
type Pack struct {
	dir      string
	key      keeper.Verifier
	manifest *Manifest
	streams  []*stream
}

// Open opens a pack and checks its logs. Without a key it uses the one in the
// pack, which then proves that the pack is whole, but not whose it is. It returns
// a [Damage] for everything missing or altered that it can find without reading
// messages.
func Open(dir string, key keeper.Verifier) (*Pack, error) {
	p := &Pack{dir: dir, key: key}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("opening the archives in %s: %w", dir, err)
	}
	return p, nil
}

func (p *Pack) open() error {
	var keys *tlog.Succession
	var err error
	switch key := p.key.(type) {
	case nil:
		keys, err = keeper.Keys(p.dir)
	case *tlog.PublicKey:
		keys, err = keeper.Follow(p.dir, key)
	}
	if err != nil {
		return err
	}
	if keys != nil {
		p.key = keys
	}
	if err := p.readManifest(); err != nil {
		return err
	}
	names, err := p.names()
	if err != nil {
		return err
	}
	damage := &Damage{}
	for _, name := range names {
		s, found, err := openStream(p.dir, name, p.key)
		if err != nil {
			return err
		}
		damage.Differences = append(damage.Differences, found...)
		p.streams = append(p.streams, s)
	}
	damage.Differences = append(damage.Differences, p.lacks()...)
	if len(damage.Differences) > 0 {
		return damage
	}
	return nil
}

// readManifest reads the manifest, if the pack has one.
func (p *Pack) readManifest() error {
	data, err := os.ReadFile(filepath.Join(p.dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.manifest, err = ParseManifest(data)
	return err
}

// ParseManifest reads the text of a manifest.
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := strict.Decode(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Format != 1 {
		return nil, fmt.Errorf("%s: format is %d, this program knows 1", manifestName, m.Format)
	}
	for _, e := range m.Streams {
		if !known(e.Stream) {
			return nil, fmt.Errorf("%s: unknown stream %.40q", manifestName, e.Stream)
		}
	}
	return &m, nil
}

// known reports whether a stream is one that is kept.
func known(name string) bool {
	if slices.Contains([]string{eventlog.ControlStream, eventlog.RegisterStream, eventlog.LedgerStream, eventlog.PayoutStream}, name) {
		return true
	}
	var partition, epoch uint32
	n, err := fmt.Sscanf(name, "USAGE-%d-%d", &partition, &epoch)
	return err == nil && n == 2 && name == eventlog.UsageStream(partition, epoch)
}

// names lists the streams that have a log or a second copy here, ascending. Every
// stream except usage must be here.
func (p *Pack) names() ([]string, error) {
	names := []string{eventlog.ControlStream, eventlog.RegisterStream, eventlog.LedgerStream, eventlog.PayoutStream}
	usage := 0
	for _, below := range []string{"archive", "tlog"} {
		entries, err := os.ReadDir(filepath.Join(p.dir, below))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := strings.ToUpper(e.Name())
			if !e.IsDir() || !strings.HasPrefix(name, "USAGE-") {
				continue
			}
			if !known(name) || keeper.LogName(name) != e.Name() {
				return nil, fmt.Errorf("%s/%s is not a stream", below, e.Name())
			}
			if usage++; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if usage == 0 {
		return nil, errors.New("there is no usage")
	}
	slices.Sort(names)
	return names, nil
}

// lacks compares with what the manifest says: a log that was replaced by an older
// copy of itself is consistent in itself.
func (p *Pack) lacks() (found []*keeper.Difference) {
	if p.manifest == nil {
		return nil
	}
	for _, e := range p.manifest.Streams {
		i := slices.IndexFunc(p.streams, func(s *stream) bool { return s.name == e.Stream })
		last := uint64(0)
		if i >= 0 && p.streams[i].log != nil {
			last = p.streams[i].last
		} else if i >= 0 {
			continue // already reported
		}
		if last < e.Last {
			found = append(found, &keeper.Difference{Stream: e.Stream, First: last + 1, Last: e.Last, Side: keeper.SideLog,
				Problem: fmt.Sprintf("missing: the log ends at %d, but was packed up to %d", last, e.Last)})
		}
	}
	return found
}

// Key returns the key that verifies the logs.
func (p *Pack) Key() keeper.Verifier { return p.key }

// Manifest returns the manifest; nil if the pack has none.
func (p *Pack) Manifest() *Manifest { return p.manifest }

// Stream returns a stream of the pack, read from its archive.
func (p *Pack) Stream(name string) (*eventlog.Stream, error) {
	for _, s := range p.streams {
		if s.name == name {
			return eventlog.Offline(name, unknown, s), nil
		}
	}
	return nil, fmt.Errorf("the archives in %s have no stream %s", p.dir, name)
}

// Usage lists the names of the streams of usage, ascending.
func (p *Pack) Usage() (names []string) {
	for _, s := range p.streams {
		if strings.HasPrefix(s.name, "USAGE-") {
			names = append(names, s.name)
		}
	}
	return names
}

// unknown is the creation time of a stream that is read from a pack. No figure
// depends on it.
var unknown = time.Unix(0, 0).UTC()

// openStream opens and checks one stream's log, and checks that its archive has
// the files.
func openStream(dir, name string, key keeper.Verifier) (s *stream, found []*keeper.Difference, err error) {
	s = &stream{name: name, dir: keeper.ArchiveDir(dir, name)}
	s.finder = archive.NewFinder(s.dir, name)
	bad := func(first, last uint64, side keeper.Side, problem string) {
		found = append(found, &keeper.Difference{Stream: name, First: max(first, 1), Last: max(first, last, 1), Side: side, Problem: problem})
	}
	log, err := tiles.OpenReader(keeper.LogDir(dir, name), key.Origin(keeper.LogName(name)), key)
	if err != nil {
		bad(1, 1, keeper.SideLog, err.Error())
		return s, found, nil
	}
	c, _, err := log.Checkpoint()
	if err != nil {
		return nil, nil, err
	}
	s.log, s.last, s.root = log, c.Size, c.Root
	err = log.Check(func(f tiles.Fault) { bad(f.First+1, f.Last+1, keeper.SideLog, f.Path+": "+f.Err.Error()) })
	if err != nil {
		return nil, nil, err
	}
	_, err = archive.Files(s.dir, name, s.last)
	var fault *archive.Fault
	if errors.As(err, &fault) {
		bad(fault.First, fault.Last, keeper.SideArchive, fault.Problem)
		err = nil
	}
	return s, found, err
}
