package store

import (
	"context"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// Progress is how far every service has committed, for other processes.
type Progress struct {
	Settled     []settlement.Cursor // ascending by partition; only partitions that ever had a settler
	Distributed distribution.Cursor // its Epoch is zero if there never was a distributor
}

// Progress returns the progress as of one commit.
func (db *DB) Progress(ctx context.Context) (p Progress, err error) {
	err = db.Snapshot(ctx, func(s *Snapshot) error {
		if p.Settled, err = s.Cursors(); err != nil {
			return err
		}
		p.Distributed, err = s.DistributeCursor()
		return err
	})
	return p, err
}

// Relaying is how far one writer's rows are published to its stream.
type Relaying struct {
	Writer  string
	Last    uint64 // number of its last row
	Relayed uint64 // number of the last one known to be in its stream
}

// Relaying returns the publishing state of every settler and of the
// distributor, ascending by name. The distributor's rows are the messages for
// PAYOUT. Its cost does not grow with the journal.
func (db *DB) Relaying(ctx context.Context) (list []Relaying, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		list = nil
		var ids []int64
		err := conn.Query("SELECT id, name, relayed FROM writer ORDER BY name", func(r Row) error {
			ids = append(ids, r.Int64(0))
			list = append(list, Relaying{Writer: r.Text(1), Relayed: uint64(r.Int64(2))})
			return nil
		})
		for i := range ids {
			if err != nil {
				break
			}
			last := func(r Row) error {
				list[i].Last = uint64(r.Int64(0) & (1<<NumberBits - 1))
				return nil
			}
			if list[i].Writer == DistributeWriter {
				err = conn.Query("SELECT max(number) FROM payout_message", last)
			} else {
				err = conn.Query("SELECT max(id) FROM journal WHERE id BETWEEN ?1 AND ?2", last, rowID(ids[i], 0), lastID(ids[i]))
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is published: %w", err)
	}
	return list, nil
}

// SettledAt is [Distribute.SettledAt] for callers that only read.
func (db *DB) SettledAt(ctx context.Context, book events.Book, period events.Period) (uint64, error) {
	return (&Distribute{Writer: Writer{db: db}}).SettledAt(ctx, book, period)
}
