package keeper

import (
	"sync"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
)

// windowBytes limits what a window holds. It is one second of the busiest
// traffic, and several rounds of the keeper.
const windowBytes = 32 << 20

// item is a message to be kept.
type item struct {
	eventlog.Message
	hash tlog.Hash
	leaf *tlog.UsageLeaf // without outcomes; nil unless it was made when the settler read the message
}

// window holds the messages that the settler has read of a partition and the
// keeper has not kept yet, with the roots of their events. These are hashed when
// the settler has them decoded in memory, so nothing is read or decoded a second
// time. A message that does not fit is left out, and the keeper reads it from the
// stream.
type window struct {
	tree tlog.EventTree // of the goroutine that calls put

	mu    sync.Mutex // guards what follows
	next  uint64     // earlier positions are kept, or the keeper reads them itself
	items map[uint64]item
	bytes int
}

// put adds a message that the settler has read.
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
	// The window may have been closed, or moved past this position, while this
	// was hashed.
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

// take removes and returns the message at a position, if the window has it.
// Earlier positions are not asked for again.
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

// open accepts positions from next on; close empties the window and accepts no
// more.
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

// Seen receives every message of the partition from its settler, in order, while
// it is decoded; see settle.Config. It keeps only the message's bytes. It costs
// the settler's reader the time to hash the events, and never waits.
func (k *Keeper) Seen(m eventlog.Message, envelope *events.Message, segments []settlement.Decoded) {
	if w := k.windows[m.Subject]; w != nil {
		w.put(m, envelope, segments)
	}
}
