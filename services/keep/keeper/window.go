package keeper

import (
	"sync"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// windowBytes bounds what a window holds. It is a second of the busiest traffic,
// several rounds of the keeper.
const windowBytes = 32 << 20

// item is a message that is to be kept.
type item struct {
	eventlog.Message
	hash tlog.Hash
	leaf *tlog.UsageLeaf // without outcomes, where it was made when the settler read the message
}

// window holds what the settler has read of a partition and the keeper has not
// kept yet, with the roots of its events: they are hashed while they are decoded
// in memory, and neither read nor decoded a second time. Where it has no room a
// message is left out, and the keeper reads it from the stream.
type window struct {
	tree tlog.EventTree // of the goroutine that calls put

	mu    sync.Mutex // guards what follows
	next  uint64     // positions before are kept, or read by the keeper itself
	items map[uint64]item
	bytes int
}

// put takes a message that the settler has read.
func (w *window) put(m eventlog.Message, envelope *events.Message, segments []settlement.Decoded) {
	if !w.room(m.Seq, len(m.Data)) {
		return
	}
	leaf := &tlog.UsageLeaf{Kind: envelope.Kind, Position: m.Seq, Data: hashOf(m.Data)}
	switch leaf.Kind {
	case events.Barrier:
		leaf.Control = envelope.Control
	case events.Batch:
		w.tree.Reset()
		for _, s := range segments {
			if s.Err == nil {
				w.tree.Add(s.Book, s.Columns)
			}
		}
		w.tree.Describe(leaf)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// It may have been closed, or come past this position, while this was hashed.
	if _, again := w.items[m.Seq]; w.items != nil && m.Seq >= w.next && !again {
		w.items[m.Seq] = item{m, leaf.Data, leaf}
		w.bytes += len(m.Data)
	}
}

func (w *window) room(position uint64, bytes int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.items != nil && position >= w.next && w.bytes+bytes <= windowBytes && len(w.items) < 2*perRound
}

// take gives the message at a position out, if it is there. Nothing before it is
// asked for again.
func (w *window) take(position uint64) (i item, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = position + 1
	if i, ok = w.items[position]; ok {
		delete(w.items, position)
		w.bytes -= len(i.Data)
	}
	return i, ok
}

// open makes room, for positions from next on; close gives it back for good.
func (w *window) open(next uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next, w.items = next, make(map[uint64]item)
}

func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items, w.bytes = nil, 0
}

// Seen is told every message of the partition by its settler, in order, while it
// is decoded; see settle.Config. It keeps the message's bytes and nothing else.
// It costs the settler's reader the hashes of the events, and waits for nothing.
func (k *Keeper) Seen(m eventlog.Message, envelope *events.Message, segments []settlement.Decoded) {
	if w := k.windows[m.Subject]; w != nil {
		w.put(m, envelope, segments)
	}
}
