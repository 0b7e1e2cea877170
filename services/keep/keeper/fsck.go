package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

// Examined says what [Examine] compares, in an installation where nothing runs.
type Examined struct {
	Dir       string
	Stream    *eventlog.Stream
	Key       Verifier
	Store     Store
	Partition int
	Usage     bool // the stream is that partition's usage
}

// Verifier is a public log key.
type Verifier interface {
	note.Verifier
	Origin(log string) string
}

// Examination is what was found in one stream.
type Examination struct {
	Stream      string        `json:"stream"`
	Messages    uint64        `json:"messages" doc:"Last position of the stream."`
	Archived    uint64        `json:"archived" doc:"Last position of the second copy."`
	Logged      uint64        `json:"logged" doc:"Leaves that the log has signed."`
	Root        string        `json:"root,omitempty" doc:"The root that the log has signed."`
	Differences []*Difference `json:"differences,omitempty"`

	stream    *eventlog.Stream // nil if the server cannot recover it
	log       *tiles.Reader
	dir       string
	partition int // of usage; -1 for other streams
}

// OK reports whether the three agree and are whole.
func (e *Examination) OK() bool { return len(e.Differences) == 0 }

// of returns the differences of one side.
func (e *Examination) of(side Side) (list []*Difference) {
	for _, d := range e.Differences {
		if d.Side == side {
			list = append(list, d)
		}
	}
	return list
}

// otherOutcomes is the problem of a store that contradicts the log.
const otherOutcomes = "the outcomes are not those that the log has signed"

// maxDifferences limits the differences reported for one stream; consecutive
// positions with one problem count as one.
const maxDifferences = 1000

// add adds a difference, or extends the last one if this one is the same problem
// at the next position.
func (e *Examination) add(d *Difference) {
	d.Stream = e.Stream
	for i := len(e.Differences) - 1; i >= 0; i-- {
		before := e.Differences[i]
		if before.Side == d.Side && before.Problem == d.Problem && before.Last+1 == d.First {
			before.Last = d.Last
			return
		}
		if before.Last+1 < d.First {
			break
		}
	}
	if len(e.Differences) < maxDifferences {
		e.Differences = append(e.Differences, d)
	}
}

// Examine compares every position of a stream with its second copy and its log,
// and for usage with the store's cursor and outcomes. The leaf decides which side
// is wrong, after the log was found to hash to its own signed root. An error
// means that the comparison could not be made.
func Examine(ctx context.Context, in Examined) (*Examination, error) {
	e := &Examination{Stream: in.Stream.Name(), stream: in.Stream, dir: ArchiveDir(in.Dir, in.Stream.Name()), partition: -1}
	if in.Usage {
		e.partition = in.Partition
	}
	if err := e.examine(ctx, in); err != nil {
		return nil, fmt.Errorf("examining %s: %w", e.Stream, err)
	}
	return e, nil
}

func (e *Examination) examine(ctx context.Context, in Examined) error {
	extent, err := in.Stream.Info(ctx)
	if err != nil {
		return err
	}
	e.Messages = extent.Last
	if e.Archived, err = archive.Last(e.dir, e.Stream); err != nil {
		return err
	}
	e.openLog(in)
	if err := e.walk(ctx, extent); err != nil {
		return err
	}
	if in.Usage && in.Store != nil {
		return e.cursor(ctx, in)
	}
	return nil
}

// openLog opens the log and verifies that its hashes give its signed root.
func (e *Examination) openLog(in Examined) {
	origin := in.Key.Origin(LogName(e.Stream))
	older, known := remembered(in.Dir, e.Stream, origin, in.Key)
	bad := func(first, last uint64, problem string) {
		e.add(&Difference{First: first, Last: max(first, last), Side: SideLog, Problem: problem})
	}
	log, err := tiles.OpenReader(LogDir(in.Dir, e.Stream), origin, in.Key)
	if err != nil {
		bad(1, e.Archived, err.Error())
		return
	}
	c, _, err := log.Checkpoint()
	if err != nil {
		bad(1, e.Archived, err.Error())
		return
	}
	e.Logged, e.Root, e.log = c.Size, c.Root.String(), log
	for _, by := range []string{tiles.CosignedByAll, tiles.CosignedBySome} {
		signed, err := os.ReadFile(filepath.Join(LogDir(in.Dir, e.Stream), by))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if keys, ok := in.Key.(*tlog.Succession); err == nil && ok {
			_, _, _, err = keys.Open(signed, LogName(e.Stream)) // perhaps signed by an earlier key
		} else if err == nil {
			_, _, err = tlog.OpenCheckpoint(signed, origin, in.Key)
		}
		if err != nil {
			bad(1, c.Size, by+": "+err.Error())
		}
	}
	if !known && c.Size > 0 {
		bad(1, c.Size, fmt.Sprintf("%s is missing or damaged: it is the second copy of the last checkpoint", filepath.Base(rememberedFile(in.Dir, e.Stream))))
	}
	if err := log.Check(func(f tiles.Fault) { bad(f.First+1, f.Last+1, f.Path+": "+f.Err.Error()) }); err != nil {
		bad(1, c.Size, err.Error())
	}
	switch {
	case !known:
	case older.Size > c.Size:
		bad(c.Size+1, older.Size, fmt.Sprintf("missing: the log ends at %d but had signed %d", c.Size, older.Size))
	default:
		path, err := tlog.ConsistencyProof(older.Size, c.Size, log.Tile)
		if err == nil {
			err = tlog.VerifyConsistency(older.Size, c.Size, path, older.Root, c.Root)
		}
		if err != nil {
			bad(1, older.Size, "it does not continue what it signed before: "+err.Error())
		}
	}
}

// walk compares the three position by position.
func (e *Examination) walk(ctx context.Context, extent eventlog.Info) error {
	copies, err := archive.Read(e.dir, e.Stream, 1, max(e.Archived, e.Logged))
	if err != nil {
		return err
	}
	defer func() { _ = copies.Close() }()
	lackUntil := uint64(0) // of the archive
	for p := uint64(1); p <= max(extent.Last, e.Archived, e.Logged); p++ {
		var have *archive.Message
		if p <= max(e.Archived, e.Logged) && p > lackUntil {
			m, err := copies.Next()
			var fault *archive.Fault
			switch {
			case errors.As(err, &fault):
				lackUntil = fault.Last
				e.add(&Difference{First: fault.First, Last: fault.Last, Side: SideArchive, Problem: fault.Problem})
			case errors.Is(err, io.EOF):
				lackUntil = max(e.Archived, e.Logged)
			case err != nil:
				return err
			default:
				have = &m
			}
		}
		if err := e.judge(ctx, p, have); err != nil {
			return err
		}
	}
	return nil
}

// judge compares the three at one position.
func (e *Examination) judge(ctx context.Context, p uint64, have *archive.Message) error {
	if have != nil && !have.Intact() {
		e.add(&Difference{First: p, Last: p, Side: SideArchive, Problem: "altered: its data does not match its own SHA-256"})
		have = nil
	}
	var leaf Signed
	switch {
	case p <= e.Logged && e.log != nil:
		var err error
		leaf, err = leafOf(e.log, e.Stream, p)
		if err != nil && have == nil {
			return nil // The log's own check reported it; without the leaf nothing can decide.
		}
		if err != nil {
			leaf = Signed{Position: p, Data: have.SHA256, Subject: have.Subject}
		}
	case have != nil:
		leaf = Signed{Position: p, Data: have.SHA256, Subject: have.Subject}
	default:
		return nil // The position is only in the stream: it is not kept yet.
	}
	if have != nil && have.SHA256 != leaf.Data {
		e.add(&Difference{First: p, Last: p, Side: SideArchive, Problem: "altered: its hash is not the one that the log has signed"})
	}
	d, err := look(ctx, e.stream, p, leaf)
	if err != nil {
		return err
	}
	if d != nil {
		e.add(d)
	}
	return nil
}

// cursor compares the store with the usage that was signed.
func (e *Examination) cursor(ctx context.Context, in Examined) error {
	c, err := in.Store.Cursor(ctx, in.Partition)
	if err != nil {
		return err
	}
	bad := func(first, last uint64, problem string) {
		e.add(&Difference{First: first, Last: last, Side: SideStore, Problem: problem})
	}
	switch {
	case c.Position < e.Logged:
		bad(c.Position+1, e.Logged, fmt.Sprintf("rewound: its cursor is at %d, but the log has signed up to %d", c.Position, e.Logged))
	case c.Position > e.Messages:
		e.add(&Difference{First: e.Messages + 1, Last: c.Position, Side: SideStream,
			Problem: fmt.Sprintf("missing: the stream ends at %d, but the store has settled up to %d", e.Messages, c.Position)})
	}
	if c.Position > 0 && c.Created != e.stream.Created().UnixNano() {
		bad(c.Position, c.Position, "its cursor belongs to another stream of this name")
	}
	if e.log == nil {
		return nil
	}
	return e.outcomes(ctx, in, min(c.Position, e.Logged))
}

// outcomes compares the outcomes in the store with those that were signed.
func (e *Examination) outcomes(ctx context.Context, in Examined, through uint64) error {
	const step = 1000
	for first := uint64(1); first <= through; first += step {
		last := min(first+step-1, through)
		found := map[uint64]settlement.Outcome{}
		err := in.Store.Outcomes(ctx, in.Partition, first, last, func(o settlement.Outcome) error {
			found[o.Position] = o
			return nil
		})
		if err != nil {
			return err
		}
		for p := first; p <= last; p++ {
			data, err := e.log.Leaf(p - 1)
			if err != nil {
				continue // It was already reported.
			}
			leaf, err := tlog.DecodeUsageLeaf(data)
			if err != nil {
				continue
			}
			again := leaf
			again.Runs, again.Folded = found[p].Runs, false
			if string(again.Append(nil)) != string(data) {
				e.add(&Difference{First: p, Last: p, Side: SideStore, Problem: otherOutcomes})
			}
		}
	}
	return nil
}
