package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

const originalColumns = "first, last, position, segment, ordinal"

func spanOf(r Row) settlement.Span {
	return settlement.Span{First: unordered(r.Int64(0)), Last: unordered(r.Int64(1))}
}

func originalOf(source settlement.Source, r Row) settlement.Original {
	return settlement.Original{
		Source: source, Span: spanOf(r), Position: uint64(r.Int64(2)), Segment: int(r.Int64(3)), Ordinal: int(r.Int64(4)),
	}
}

// sourcesOf returns the ids of a source in a partition, or in all partitions:
// each partition that accepts events of a source assigns an id.
func sourcesOf(conn Conn, partition int, source settlement.Source) (ids []int64, err error) {
	partitions := []int64{int64(partition)}
	if partition == everywhere {
		if partitions, err = partitionsOf(conn); err != nil {
			return nil, err
		}
	}
	// The key of the table begins with the partition.
	for _, p := range partitions {
		err = conn.Query("SELECT id FROM source WHERE partition = ?1 AND provider = ?2 AND source = ?3 AND epoch = ?4", func(r Row) error {
			ids = append(ids, r.Int64(0))
			return nil
		}, p, string(source.Provider), source.Source, Ordered(source.Epoch))
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// partitionsOf returns every partition that ever had a settler, ascending.
func partitionsOf(conn Conn) (list []int64, err error) {
	err = conn.Query("SELECT partition FROM cursor ORDER BY partition", func(r Row) error {
		list = append(list, r.Int64(0))
		return nil
	})
	return list, err
}

func spansOf(conn Conn, partition int, source settlement.Source) (spans []settlement.Span, err error) {
	ids, err := sourcesOf(conn, partition, source)
	for _, id := range ids {
		if err == nil {
			err = conn.Query("SELECT first, last FROM span WHERE source = ?1 ORDER BY first", func(r Row) error {
				spans = append(spans, spanOf(r))
				return nil
			}, id)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the sequences of %s: %w", source.Source, err)
	}
	if len(ids) > 1 {
		slices.SortFunc(spans, func(a, b settlement.Span) int { return cmp.Compare(a.First, b.First) })
	}
	return spans, nil
}

func findOriginal(conn Conn, partition int, source settlement.Source, sequence uint64) (o settlement.Original, ok bool, err error) {
	ids, err := sourcesOf(conn, partition, source)
	for _, id := range ids {
		if err != nil || ok {
			break
		}
		err = conn.Query("SELECT "+originalColumns+" FROM original WHERE source = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1", func(r Row) error {
			o = originalOf(source, r)
			ok = sequence <= o.Span.Last
			return nil
		}, id, Ordered(sequence))
	}
	if err != nil {
		return o, false, fmt.Errorf("looking for sequence %d of %s: %w", sequence, source.Source, err)
	}
	return o, ok, nil
}

// Spans returns the accepted sequences of a source, ascending; see dedup.Gaps
// for what is missing between them.
func (db *DB) Spans(ctx context.Context, source settlement.Source) (spans []settlement.Span, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		spans, err = spansOf(conn, everywhere, source)
		return err
	})
	return spans, err
}

// Sources returns every source and epoch of a provider, ascending.
func (db *DB) Sources(ctx context.Context, provider events.Provider) (list []settlement.Source, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		list = nil
		partitions, err := partitionsOf(conn)
		for _, p := range partitions {
			if err == nil {
				err = conn.Query("SELECT source, epoch FROM source WHERE partition = ?1 AND provider = ?2", func(r Row) error {
					list = append(list, settlement.Source{Provider: provider, Source: r.Text(0), Epoch: unordered(r.Int64(1))})
					return nil
				}, p, string(provider))
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b settlement.Source) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), cmp.Compare(a.Epoch, b.Epoch))
	})
	list = slices.Compact(list)
	return list, err
}

// Original returns where the accepted sequence of a source is; ok is false if
// the sequence was not accepted.
func (db *DB) Original(ctx context.Context, source settlement.Source, sequence uint64) (o settlement.Original, ok bool, err error) {
	err = db.whole(ctx, func(conn Conn) error {
		o, ok, err = findOriginal(conn, everywhere, source, sequence)
		return err
	})
	return o, ok, err
}

// SourceID is a source with its id in the store.
type SourceID struct {
	settlement.Source
	Partition int // partition that accepted these sequences
	id        int64
}

// Sources returns every sequenced source with a name ("" selects all),
// ascending.
func (s *Snapshot) Sources(name string) (list []SourceID, err error) {
	err = s.conn.Query("SELECT id, provider, source, epoch, partition FROM source WHERE ?1 = '' OR source = ?1 ORDER BY provider, source, epoch, partition", func(r Row) error {
		list = append(list, SourceID{settlement.Source{
			Provider: events.Provider(r.Text(1)), Source: r.Text(2), Epoch: unordered(r.Int64(3)),
		}, int(r.Int64(4)), r.Int64(0)})
		return nil
	}, name)
	if err != nil {
		return nil, fmt.Errorf("reading sources: %w", err)
	}
	return list, nil
}

// Sourceless returns the smallest id of a source that sequences or originals
// name but that does not exist; ok is false if there is none.
func (s *Snapshot) Sourceless() (n int64, ok bool, err error) {
	err = s.conn.Query(`SELECT min(number) FROM (SELECT DISTINCT span.source AS number FROM span UNION SELECT DISTINCT original.source FROM original) AS named
		WHERE number NOT IN (SELECT id FROM source) HAVING count(*) > 0`, func(r Row) error {
		n, ok = r.Int64(0), true
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("reading sequences without a source: %w", err)
	}
	return n, ok, nil
}

// Spans calls each for the accepted sequences of a source, ascending.
func (s *Snapshot) Spans(source SourceID, each func(settlement.Span) error) error {
	return s.conn.Query("SELECT first, last FROM span WHERE source = ?1 ORDER BY first",
		func(r Row) error { return each(spanOf(r)) }, source.id)
}

// Originals calls each for where the accepted sequences of a source are,
// ascending by sequence.
func (s *Snapshot) Originals(source SourceID, each func(settlement.Original) error) error {
	return s.conn.Query("SELECT "+originalColumns+" FROM original WHERE source = ?1 ORDER BY first",
		func(r Row) error { return each(originalOf(source.Source, r)) }, source.id)
}
