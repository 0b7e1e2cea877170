package keeper

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
	"github.com/aliquot-engine/aliquot/pkg/tlog"
	"github.com/aliquot-engine/aliquot/services/keep/archive"
)

func hashOf(data []byte) tlog.Hash { return sha256.Sum256(data) }

// copyOf is a message in the form that the archive stores.
func copyOf(m eventlog.Message, hash tlog.Hash) archive.Message {
	return archive.Message{Position: m.Seq, Time: m.Time, Subject: m.Subject, ID: m.Header.Get(nats.MsgIdHdr), SHA256: hash, Data: m.Data}
}

// plain makes the leaves of streams whose messages are final once they are
// stored.
type plain struct{ stream *eventlog.Stream }

func (p plain) committed(ctx context.Context) (uint64, error) { return p.stream.Last(ctx) }

func (plain) leaves(_ context.Context, items []item) ([][]byte, error) {
	leaves := make([][]byte, len(items))
	for i, m := range items {
		leaf := tlog.StreamLeaf{Position: m.Seq, Subject: m.Subject, Data: m.hash}
		leaves[i] = leaf.Append(nil)
	}
	return leaves, nil
}

// usage makes the leaves of a partition's usage, with the outcomes of its events.
type usage struct {
	store     Store
	partition int

	envelope events.Message
	scratch  []byte
	columns  packed.Columns
	tree     tlog.EventTree
}

func (u *usage) committed(ctx context.Context) (uint64, error) {
	c, err := u.store.Cursor(ctx, u.partition)
	return c.Position, err
}

func (u *usage) leaves(ctx context.Context, items []item) ([][]byte, error) {
	outcomes := make(map[uint64]settlement.Outcome, len(items))
	first, last := items[0].Seq, items[len(items)-1].Seq
	err := u.store.Outcomes(ctx, u.partition, first, last, func(o settlement.Outcome) error {
		outcomes[o.Position] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading outcomes of %d to %d: %w", first, last, err)
	}
	leaves := make([][]byte, len(items))
	for i, m := range items {
		if m.leaf == nil {
			m.leaf = u.read(m.Seq, m.Data, m.hash)
		}
		if leaves[i], err = encoded(m.leaf, outcomes[m.Seq]); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// read makes the leaf of one message, without the outcomes of its events.
func (u *usage) read(position uint64, data []byte, hash tlog.Hash) *tlog.UsageLeaf {
	leaf := &tlog.UsageLeaf{Position: position, Data: hash}
	var err error
	u.scratch, err = u.envelope.Decode(data, u.scratch)
	if err != nil {
		leaf.Kind = tlog.Unreadable
		return leaf
	}
	leaf.Kind = u.envelope.Kind
	switch leaf.Kind {
	case events.Barrier:
		leaf.Control = u.envelope.Control
	case events.Batch:
		u.tree.Reset()
		for i := range u.envelope.Segments {
			segment := &u.envelope.Segments[i]
			if u.columns.Decode(segment.Packed) == nil {
				u.tree.Add(segment.Book, &u.columns)
			}
		}
		u.tree.Describe(leaf)
	}
	return leaf
}

// encoded adds the outcomes of the events and encodes the leaf.
func encoded(leaf *tlog.UsageLeaf, outcome settlement.Outcome) ([]byte, error) {
	if leaf.Kind == events.Batch {
		leaf.Runs = outcome.Runs
		counted := uint64(0)
		for _, r := range outcome.Runs {
			counted += uint64(r.Events)
		}
		if counted != leaf.Events {
			return nil, fmt.Errorf("position %d has %d events, but outcomes of %d", leaf.Position, leaf.Events, counted)
		}
	}
	return leaf.Append(nil), nil
}
