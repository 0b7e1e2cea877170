// Package explain traces a figure back to its causes: a payout to its share,
// the share to the pool and its tiers, the pool to the charges of the period,
// and these to their postings, cards, quotes and events. It also follows an
// event forward, to its card, its quote, the entry that contains its charge,
// and the holders who were paid.
//
// Nothing is stored per event, so an event is computed again: CONTROL is folded
// up to the barrier that was in force at the event's position, and the packages
// pricing and quotes are called in the same way as by settle.
//
// # Invariants
//
//   - Read only: an explanation writes nothing anywhere.
//   - Recomputed: a charge, a share and a posting's sum are computed again and
//     compared with what is stored; if they differ, the explanation says so.
//   - One moment: everything that is read from the store belongs to one commit.
package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/plain"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Identities finds events that are not sequenced.
type Identities interface {
	Seen(keys [][16]byte, found []settlement.Identity) error
}

// Sources are what an explanation is made from.
type Sources struct {
	Usage           []*eventlog.Stream // one for each partition
	Control, Ledger *eventlog.Stream
	Store           *store.DB
	// IDs finds an event by the id that its source gave it; nil finds only
	// sequenced ones and handles.
	IDs Identities
}

// Node is one explained thing, with its causes.
type Node struct {
	Kind    string `json:"kind" doc:"event, charge, entry, payout, share, distribution, pool, revenue, …"`
	ID      string `json:"id,omitempty" doc:"To ask about it by."`
	Summary string `json:"summary" doc:"In one sentence."`
	Facts   []Fact `json:"facts,omitempty"`
	From    []Node `json:"from,omitempty" doc:"What it follows from."`
	To      []Node `json:"to,omitempty" doc:"What became of it."`
}

// Fact is one property of a thing.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (n *Node) fact(name string, value any) {
	n.Facts = append(n.Facts, Fact{name, fmt.Sprint(value)})
}

// ErrUnknown means that nothing has that id.
var ErrUnknown = errors.New("nothing has this id")

// Explain finds what an id names and explains it:
//
//	po-…                 a payout
//	<distribution>       a distribution, by the id of its declaration
//	<writer>-<number>    a journal row, as LEDGER and PAYOUT name it: settle-0-12
//	<row>/<entry>/<n>    a posting of a journal row, both counted from 0
//	<p>/<position>/<n>   an event by its handle: partition, position, ordinal
//	<source>#<sequence>  a sequenced event of the epoch that has it
//	<source>#<epoch>/<sequence>
//	<source>#<id>        an event by the id that its source gave it
//	control:<position>   a decision
//	<decision>           a decision, by its id
//
// It fails with [ErrUnknown] if nothing has the id, and with [ErrAmbiguous] if
// the id names more than one event: [Find] accepts the parts of an identity
// separately. A duplicate or refused event has no identity of its own and can
// only be found by its handle.
func Explain(ctx context.Context, from Sources, id string) (node Node, err error) {
	err = from.Store.Snapshot(ctx, func(snapshot *store.Snapshot) error {
		e := &explainer{Sources: from, ctx: ctx, snapshot: snapshot}
		node, err = e.find(id)
		return err
	})
	if err != nil {
		return Node{}, fmt.Errorf("explaining %q: %w", id, err)
	}
	return node, nil
}

// explainer answers one question.
type explainer struct {
	Sources
	ctx      context.Context // of this call; never kept longer
	snapshot *store.Snapshot
	known    *decisions       // of CONTROL, once they were needed
	folded   *world           // the last world that was made
	followed int              // postings that were followed down to their events
	usage    *eventlog.Stream // of the partition in question
}

func (e *explainer) find(id string) (Node, error) {
	made, err := e.snapshot.Distributions("")
	if err != nil {
		return Node{}, err
	}
	for i := range made {
		d := &made[i]
		if d.ID == id {
			return e.distribution(d)
		}
		if strings.HasPrefix(id, "po-") {
			if p, ok, err := e.snapshot.Payout(d, id); err != nil || ok {
				if err != nil {
					return Node{}, err
				}
				return e.payout(d, p)
			}
		}
	}
	if h, ok := parseHandle(id); ok {
		return e.event(h)
	}
	writers, err := e.snapshot.Writers()
	if err != nil {
		return Node{}, err
	}
	for _, w := range writers {
		digits, ok := strings.CutPrefix(id, w.Name+"-")
		if !ok {
			continue
		}
		switch l, whole, ok := parseRow(w, digits); {
		case ok && whole:
			return e.row(w, l.number)
		case ok:
			return e.posting(l, shownEvents)
		}
	}
	if digits, ok := strings.CutPrefix(id, "control:"); ok {
		position, err := strconv.ParseUint(digits, 10, 63)
		if err != nil {
			return Node{}, fmt.Errorf("%w: write a decision as control: and its position", ErrUnknown)
		}
		return e.decision(position)
	}
	node, err := e.byIdentity(id)
	if !errors.Is(err, ErrUnknown) {
		return node, err
	}
	known, failed := e.decisions()
	if failed != nil || len(known.ids[id]) == 0 {
		return node, errors.Join(err, failed)
	}
	return e.decisionOf(known.ids[id])
}

// handle is where an event is.
type handle struct {
	partition int
	position  uint64
	ordinal   int
}

func (h handle) String() string { return fmt.Sprintf("%d/%d/%d", h.partition, h.position, h.ordinal) }

func parseHandle(id string) (h handle, ok bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 {
		return h, false
	}
	p, errP := strconv.ParseUint(parts[0], 10, 16)
	at, errAt := strconv.ParseUint(parts[1], 10, 63)
	n, errN := strconv.ParseUint(parts[2], 10, 31)
	return handle{int(p), at, int(n)}, errors.Join(errP, errAt, errN) == nil
}

// Write writes a node as indented text: its causes and, after arrows, what
// happened to it later.
func Write(w io.Writer, n *Node) error { return write(w, n, "", 0) }

func write(w io.Writer, n *Node, mark string, depth int) error {
	indent := strings.Repeat("  ", depth)
	if _, err := fmt.Fprint(w, plain.Sprintf("%s%s%s\n", indent, mark, n.Summary)); err != nil {
		return err
	}
	width := 0
	for _, f := range n.Facts {
		width = max(width, len(f.Name))
	}
	for _, f := range n.Facts {
		if _, err := fmt.Fprint(w, plain.Sprintf("%s    %-*s  %s\n", indent, width, f.Name, f.Value)); err != nil {
			return err
		}
	}
	for i := range n.From {
		if err := write(w, &n.From[i], "", depth+1); err != nil {
			return err
		}
	}
	for i := range n.To {
		if err := write(w, &n.To[i], "→ ", depth+1); err != nil {
			return err
		}
	}
	return nil
}
