// Package issue makes receipts from what an installation has: its streams, its
// store and its logs.
//
// The method: the store says where a thing is, the streams have its bytes, and
// the logs prove them. A receipt is made for the checkpoints that are published
// at that moment, and is verified in the same way as by its reader before it is
// returned.
//
// # Invariants
//
//   - Read only: making a receipt writes nothing anywhere.
//   - Every receipt verifies: a receipt that [receipt.Verify] refuses is an
//     error.
//   - An event's receipt reads the event's own message, decisions, and leaves
//     back to the last barrier: nothing else of USAGE, and nothing of LEDGER.
//   - [Decisions] that were already read do not change any byte of a receipt.
package issue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/tiles"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/receipt"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/audit/explain"
)

// Sources are the streams, logs and store from which receipts are made.
type Sources struct {
	explain.Sources
	Register, Payout *eventlog.Stream
	Key              *tlog.PublicKey // verifies the logs
	Handovers        [][]byte        // handovers that led to the key
	// Decisions keeps what was read of CONTROL for the next receipt. If it is
	// nil, all of CONTROL is read for each receipt.
	Decisions *Decisions
	// Log opens the log of a stream, named in lower case.
	Log func(name string) (*tiles.Reader, error)
}

var (
	// ErrEarly means that the log does not cover the thing yet. It will within a
	// second, if the keeper is running.
	ErrEarly = errors.New("its log does not cover it yet")
	// ErrNone means that there are no receipts for this kind of thing.
	ErrNone = errors.New("there are no receipts for this")
)

// Issue makes the receipt of what an id names: a usage event, a journal row or a
// payout, as [explain.Locate] defines ids. It fails with [explain.ErrUnknown],
// [ErrEarly] and [ErrNone].
func Issue(ctx context.Context, from Sources, id string) (*receipt.Receipt, error) {
	place, err := explain.Locate(ctx, from.Sources, id)
	if err != nil {
		return nil, fmt.Errorf("making a receipt: %w", err)
	}
	// A checkpoint that every witness has cosigned proves the most, but is
	// behind.
	var made *receipt.Receipt
	for _, by := range [][]string{{tiles.CosignedByAll, tiles.CosignedBySome}, {tiles.CosignedBySome}, nil} {
		m := maker{
			Sources: from, ctx: ctx, by: by, data: map[spot][]byte{}, logs: map[string]*opened{}, index: map[tlog.Hash]int{},
			trees: map[string]events.LogState{}, made: &receipt.Receipt{Format: receipt.Format, ID: id},
		}
		if made, err = m.make(place); !errors.Is(err, ErrEarly) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making the receipt of %q: %w", id, err)
	}
	return made, nil
}

func (m *maker) make(place explain.Place) (*receipt.Receipt, error) {
	for _, note := range m.Handovers {
		m.made.Handovers = append(m.made.Handovers, string(note))
	}
	var err error
	switch {
	case place.Event != nil:
		err = m.event(place.Event)
	case place.Row != nil:
		err = m.row(place.Row)
	case place.Payout != nil:
		err = m.payout(place.Payout)
	default:
		err = ErrNone
	}
	if err == nil {
		err = m.finish()
	}
	return m.made, err
}

// maker makes one receipt.
type maker struct {
	Sources
	ctx   context.Context  // of this call; never kept longer
	usage *eventlog.Stream // of the event's partition
	made  *receipt.Receipt
	data  map[spot][]byte // data of the receipt's messages
	logs  map[string]*opened
	index map[tlog.Hash]int // indexes of the receipt's hashes
	by    []string          // which cosigned checkpoint is used: the first of these that exists
	trees map[string]events.LogState
}

// spot is where a message is.
type spot struct {
	log      string
	position uint64
}

// opened is a log at the moment when the receipt is made.
type opened struct {
	*tiles.Reader
	tlog.Checkpoint
	signed []byte
}

func (m *maker) open(name string) (*opened, error) {
	if l := m.logs[name]; l != nil {
		return l, nil
	}
	reader, err := m.Log(name)
	if err != nil {
		return nil, err
	}
	l := &opened{Reader: reader}
	for _, by := range m.by { // A log with none of these uses the published checkpoint.
		if l.Checkpoint, l.signed, err = reader.Cosigned(by); err == nil {
			break
		}
	}
	if l.signed == nil {
		if l.Checkpoint, l.signed, err = reader.Checkpoint(); err != nil {
			return nil, err
		}
	}
	m.logs[name] = l
	m.made.Logs = append(m.made.Logs, receipt.Log{Name: name, Checkpoint: string(l.signed)})
	return l, nil
}

// prove returns the path of the leaf at a position.
func (m *maker) prove(log string, position uint64) (receipt.Path, error) {
	l, err := m.open(log)
	if err != nil {
		return nil, err
	}
	if position > l.Size {
		return nil, fmt.Errorf("position %d of %s: %w", position, log, ErrEarly)
	}
	size := l.Size
	if t, ok := m.trees[log]; ok && position <= t.Size {
		size = t.Size
	}
	hashes, err := tlog.InclusionProof(size, position-1, l.Tile)
	if err != nil {
		return nil, err
	}
	return m.path(hashes), nil
}

// rest proves the log in the state on which something in the receipt rests, and
// has everything that follows proved in that state. The log may be behind,
// because of its cosignatures.
func (m *maker) rest(state events.LogState) error {
	l, err := m.open(state.Log)
	if err != nil {
		return err
	}
	if state.Size > l.Size {
		return fmt.Errorf("position %d of %s: %w", state.Size, state.Log, ErrEarly)
	}
	hashes, err := tlog.ConsistencyProof(state.Size, l.Size, l.Tile)
	if err != nil {
		return err
	}
	m.trees[state.Log] = state
	m.made.Trees = append(m.made.Trees, receipt.Tree{Log: state.Log, Size: state.Size, Root: tlog.Hash(state.Root), Path: m.path(hashes)})
	return nil
}

// path stores each hash once.
func (m *maker) path(hashes []tlog.Hash) receipt.Path {
	path := make(receipt.Path, len(hashes))
	for i, h := range hashes {
		at, known := m.index[h]
		if !known {
			at = len(m.made.Hashes)
			m.index[h] = at
			m.made.Hashes = append(m.made.Hashes, h)
		}
		path[i] = at
	}
	return path
}

// show adds a message of a stream to the receipt.
func (m *maker) show(log string, message eventlog.Message) error {
	at := spot{log, message.Seq}
	if _, shown := m.data[at]; shown {
		return nil
	}
	m.data[at] = message.Data
	shown := receipt.Message{Log: log, Position: message.Seq, Subject: message.Subject, Bytes: len(message.Data)}
	var err error
	if shown.Path, err = m.prove(log, message.Seq); err != nil {
		return err
	}
	m.made.Messages = append(m.made.Messages, shown)
	return nil
}

// showAt adds the message at a position of a stream to the receipt.
func (m *maker) showAt(log string, stream *eventlog.Stream, position uint64) error {
	message, err := stream.Get(m.ctx, position)
	if err != nil {
		return err
	}
	return m.show(log, message)
}

// finish puts the receipt in order and verifies it.
func (m *maker) finish() error {
	slices.SortFunc(m.made.Logs, func(a, b receipt.Log) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(m.made.Messages, func(a, b receipt.Message) int {
		return cmp.Or(cmp.Compare(a.Log, b.Log), cmp.Compare(a.Position, b.Position))
	})
	var list [][]byte
	for _, one := range m.made.Messages {
		list = append(list, m.data[spot{one.Log, one.Position}])
	}
	if len(list) > 0 {
		if err := m.made.SetData(list); err != nil {
			return err
		}
	}
	data, err := m.made.Marshal()
	if err != nil {
		return err
	}
	_, err = receipt.Verify(data, m.Key)
	return err
}
