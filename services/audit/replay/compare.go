package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aliquot-engine/aliquot/internal/eventlog"
	"github.com/aliquot-engine/aliquot/internal/store"
	"github.com/aliquot-engine/aliquot/pkg/distribution"
	"github.com/aliquot-engine/aliquot/pkg/ledger"
	"github.com/aliquot-engine/aliquot/pkg/money"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// compare compares one part of both stores. If they are equal, it passes their
// rows to each, unless each is nil.
func (r *replay) compare(derived *store.Snapshot, relation store.Relation, each func([]store.Field) error) error {
	first, rows, equal, err := r.live.Compare(derived, relation, each)
	r.result.Rows += rows
	if err != nil || equal {
		return err
	}
	row := first.Here
	if row == nil {
		row = first.There
	}
	where := relation.Name
	for i := range min(relation.Key, len(row)) {
		where += fmt.Sprintf(", %s %s", row[i].Name, text(row[i]))
	}
	d := &Difference{Where: where, Live: "no such row", Replayed: "no such row"}
	switch {
	case first.Here == nil:
		d.Replayed = rest(first.There, relation.Key)
	case first.There == nil:
		d.Live = rest(first.Here, relation.Key)
	default:
		d.Live, d.Replayed = differing(first.Here, first.There)
	}
	return d
}

// rest formats the fields after the key.
func rest(row []store.Field, key int) string {
	var parts []string
	for _, f := range row[min(key, len(row)):] {
		parts = append(parts, f.Name+" "+text(f))
	}
	return strings.Join(parts, ", ")
}

// differing formats the fields that differ.
func differing(here, there []store.Field) (live, replayed string) {
	var a, b []string
	for i := range here {
		if x, y := fmt.Sprint(here[i].Value), fmt.Sprint(there[i].Value); x == y {
			continue
		}
		if here[i].Name == "record" {
			x, y := postings(here[i].Value, there[i].Value)
			a, b = append(a, x), append(b, y)
			continue
		}
		a, b = append(a, here[i].Name+" "+text(here[i])), append(b, there[i].Name+" "+text(there[i]))
	}
	return strings.Join(a, ", "), strings.Join(b, ", ")
}

// text formats a field according to its type.
func text(f store.Field) string {
	data, ok := f.Value.([]byte)
	if !ok {
		n, isNumber := f.Value.(int64)
		if isNumber && (f.Name == "epoch" || f.Name == "first" || f.Name == "last") {
			return fmt.Sprint(uint64(n) ^ 1<<63) // the form in which the store keeps unsigned numbers in order
		}
		return fmt.Sprint(f.Value)
	}
	switch f.Name {
	case "debit", "credit", "amount", "inbox", "fee", "pool", "held", "planned", "payable":
		if len(data) == 16 {
			return money.AmountFromBytes([16]byte(data)).String()
		}
	case "quantity", "per":
		if len(data) == 16 {
			return money.QuantityFromBytes([16]byte(data)).String()
		}
	case "units", "frozen", "supply":
		if len(data) == 16 {
			return money.UnitsFromBytes([16]byte(data)).String()
		}
	case "runs":
		if runs, err := settlement.DecodeRuns(data); err == nil {
			return fmt.Sprint(runs)
		}
	case "record":
		if r, err := ledger.DecodeRecord(data); err == nil {
			return fmt.Sprintf("%d entries, cut at %d", len(r.Entries), r.Cut)
		}
	case "data":
		return string(data)
	}
	return fmt.Sprintf("%x", data)
}

// postings formats the first posting in which two records differ.
func postings(here, there any) (live, replayed string) {
	x, _ := here.([]byte)
	y, _ := there.([]byte)
	a, errA := ledger.DecodeRecord(x)
	b, errB := ledger.DecodeRecord(y)
	if errA != nil || errB != nil {
		return readable(x, errA), readable(y, errB)
	}
	for i := range max(len(a.Entries), len(b.Entries)) {
		if i >= len(a.Entries) || i >= len(b.Entries) {
			return fmt.Sprintf("%d entries", len(a.Entries)), fmt.Sprintf("%d entries", len(b.Entries))
		}
		e, f := a.Entries[i], b.Entries[i]
		for j := range min(len(e.Postings), len(f.Postings)) {
			if e.Postings[j] != f.Postings[j] {
				return sentence(e.Postings[j]), sentence(f.Postings[j])
			}
		}
		if len(e.Postings) != len(f.Postings) {
			return fmt.Sprintf("entry %d has %d postings", i, len(e.Postings)), fmt.Sprintf("entry %d has %d postings", i, len(f.Postings))
		}
		e.Postings, f.Postings = nil, nil
		if x, y := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", f); x != y {
			return x, y
		}
	}
	a.Entries, b.Entries = nil, nil
	return fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)
}

func readable(data []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("a record of %d bytes", len(data))
}

func sentence(p ledger.Posting) string {
	s := fmt.Sprintf("debit %s, credit %s: %v %s", p.Debit, p.Credit, p.Amount, p.Asset)
	if p.Meter != "" {
		s += fmt.Sprintf(" for %v %s (%d events) by %s at %q", p.Quantity, p.Meter, p.Events, p.Card, p.Quote)
	}
	return s
}

// payout compares PAYOUT with what distribute derived for it.
func (r *replay) payout(ctx context.Context, derived *store.Snapshot, until target) error {
	relayed, err := r.relayed()
	if err != nil {
		return err
	}
	t := r.tail(r.from.Payout, store.DistributeWriter, relayed, until)
	err = t.walk(ctx, func(each func(uint64, []byte) error) error {
		return derived.PayoutMessages(func(m distribution.Outgoing) error { return each(m.Number, m.Data) })
	})
	r.result.Messages += t.equal
	return err
}

// relayed returns up to which row each writer's messages are known to be
// published, or nil if that is unknown.
func (r *replay) relayed() (map[string]uint64, error) {
	if r.live == nil {
		return nil, nil
	}
	writers, err := r.live.Writers()
	known := map[string]uint64{}
	for _, w := range writers {
		known[w.Name] = w.Relayed
	}
	return known, err
}

func (r *replay) tail(stream *eventlog.Stream, writer string, relayed map[string]uint64, until target) *tail {
	t := &tail{stream: stream, writer: writer}
	if relayed != nil {
		t.through = relayed[writer]
		if !until.behind {
			t.ended = r.ended[stream.Name()]
		}
	}
	return t
}

// tail compares a writer's messages in a stream with the rows from which they
// were made. The id of a message contains its writer and number.
type tail struct {
	stream  *eventlog.Stream
	writer  string
	through uint64 // rows up to this one are known to be published; later ones may be
	ended   uint64 // messages up to this position come from rows that were derived
	equal   uint64
}

// errEnough ends a walk at the end of the stream.
var errEnough = errors.New("the stream ends")

func (t *tail) walk(ctx context.Context, rows func(each func(number uint64, data []byte) error) error) error {
	last, err := t.stream.Last(ctx)
	if err != nil {
		return err
	}
	w := &published{tail: t, last: last}
	if last > 0 {
		if w.reader, err = t.stream.Read(ctx, 1, ""); err != nil {
			return err
		}
		defer w.reader.Stop()
	}
	err = rows(func(number uint64, data []byte) error {
		m, have, ok, err := w.next(ctx)
		id := fmt.Sprintf("%s-%d", t.writer, number)
		switch {
		case err != nil:
			return err
		case !ok && number <= t.through:
			return &Difference{Where: t.stream.Name(), Live: fmt.Sprintf("ends at %d", last), Replayed: "message " + id}
		case !ok:
			return errEnough
		case have != id:
			return &Difference{Where: fmt.Sprintf("%s position %d", t.stream.Name(), m.Seq), Live: "message " + have, Replayed: "message " + id}
		case !bytes.Equal(m.Data, data):
			return t.differs(m.Seq, m.Data, data)
		}
		t.equal++
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil || t.ended == 0 {
		return err
	}
	m, have, ok, err := w.next(ctx)
	if err == nil && ok && m.Seq <= t.ended {
		return &Difference{Where: fmt.Sprintf("%s position %d", t.stream.Name(), m.Seq), Live: "message " + have, Replayed: "no such message"}
	}
	return err
}

// published reads the messages of one writer in order.
type published struct {
	*tail
	reader *eventlog.Reader
	last   uint64
	at     uint64
}

// next returns the writer's next message and its id; ok is false if there is
// none. A message that no writer can have written is a difference.
func (w *published) next(ctx context.Context) (m eventlog.Message, id string, ok bool, err error) {
	for w.at < w.last {
		if m, err = w.reader.Next(ctx); err != nil {
			return m, "", false, err
		}
		w.at = m.Seq
		id = m.Header.Get(nats.MsgIdHdr)
		if strings.HasPrefix(id, w.writer+"-") {
			return m, id, true, nil
		}
		if !strings.HasPrefix(id, "settle-") || w.writer == store.DistributeWriter {
			return m, "", false, &Difference{Where: fmt.Sprintf("%s position %d", w.stream.Name(), m.Seq),
				Live: fmt.Sprintf("a message with id %.60q", id), Replayed: "no such message"}
		}
	}
	return eventlog.Message{}, "", false, nil
}

func (t *tail) differs(at uint64, live, replayed []byte) error {
	d := &Difference{Where: fmt.Sprintf("%s position %d", t.stream.Name(), at)}
	if ledger.IsRecord(live) && ledger.IsRecord(replayed) {
		d.Live, d.Replayed = postings(live, replayed)
		return d
	}
	d.Live, d.Replayed = fmt.Sprintf("SHA-256 %x", sha256.Sum256(live)), fmt.Sprintf("SHA-256 %x", sha256.Sum256(replayed))
	return d
}
