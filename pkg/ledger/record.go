package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// MaxRecord is the size of the largest encoded record in bytes, which is also
// the limit of a row of the journal and of a message of LEDGER or PAYOUT.
const MaxRecord = 400_000

// Record is the effect of one cut (or of one decision in distribute) on one
// book, or a part of that effect: one row of the journal and, byte for byte,
// one message of LEDGER or PAYOUT.
type Record struct {
	Partition int
	Cut       uint64 // position in USAGE of the cut; in CONTROL for distribute
	Control   uint64 // CONTROL is in effect up to and including this position
	Part      int    // 0, 1, … of Parts
	Parts     int
	Book      events.Book
	Entries   []Entry         // all of them belong to Book
	Settled   []events.Period // periods of the book settled by this cut; in its last part
}

// A record is, in this order:
//
//	'L', version 1
//	uvarint partition, cut, control, part, parts
//	string book
//	uvarint number of periods settled, and each as a string
//	uvarint number of entries, and each as
//	    string kind, period, origin, ref
//	    uvarint number of postings, and each as
//	        string debit, credit, asset
//	        wide amount
//	        string card, quote, meter
//	        wide quantity
//	        uvarint events
//
// A uvarint is that of encoding/binary in its shortest form. A wide is the same
// of up to 127 bits: seven at a time, the lowest first. A string is a uvarint
// k: the k-th distinct string of the record, from 0; if k is the number of
// strings seen so far, the length of a new string as a uvarint and its bytes
// follow. One record has one encoding.
const (
	recordMagic   = 'L'
	recordVersion = 1

	maxString = 1024 // bytes; an account has a name of at most 128, its kind and its part
)

// IsRecord reports whether a message of PAYOUT is a record of the journal.
func IsRecord(data []byte) bool { return len(data) > 0 && data[0] == recordMagic }

// AppendRecord appends the bytes of r to dst. It fails if a posting is not
// valid, an entry belongs to another book, a name has more than 1,024 bytes, or
// Part is not one of Parts. It does not check the size: see [Split].
func AppendRecord(dst []byte, r *Record) ([]byte, error) {
	postings := 0
	for i := range r.Entries {
		postings += len(r.Entries[i].Postings)
	}
	e := encoder{b: dst, seen: make(map[string]uint64, postings+16)}
	if r.Partition < 0 || r.Part < 0 || r.Part >= r.Parts {
		return dst, fmt.Errorf("encoding record at cut %d: part %d of %d in partition %d", r.Cut, r.Part, r.Parts, r.Partition)
	}
	e.header(r)
	for i := range r.Entries {
		entry := &r.Entries[i]
		if entry.Book != r.Book {
			return dst, fmt.Errorf("encoding record at cut %d: entry %d is of book %q in a record of %q", r.Cut, i, entry.Book, r.Book)
		}
		e.entry(entry, len(entry.Postings))
		for j := range entry.Postings {
			if err := entry.Postings[j].Valid(); err != nil {
				return dst, fmt.Errorf("encoding record at cut %d: entry %d: %w", r.Cut, i, err)
			}
			e.posting(&entry.Postings[j])
		}
	}
	if e.long {
		return dst, fmt.Errorf("encoding record at cut %d: a name has more than %d bytes", r.Cut, maxString)
	}
	return e.b, nil
}

// encoder writes one record.
type encoder struct {
	b    []byte
	seen map[string]uint64
	last [6]reference // of each field of a posting, because most postings repeat the previous value
	long bool         // a string was longer than maxString
}

type reference struct {
	text   string
	number uint64
}

func (e *encoder) header(r *Record) {
	e.b = append(e.b, recordMagic, recordVersion)
	e.number(uint64(r.Partition))
	e.number(r.Cut)
	e.number(r.Control)
	e.number(uint64(r.Part))
	e.number(uint64(r.Parts))
	e.string(string(r.Book))
	e.number(uint64(len(r.Settled)))
	for _, p := range r.Settled {
		e.string(string(p))
	}
	e.number(uint64(len(r.Entries)))
}

func (e *encoder) entry(entry *Entry, postings int) {
	e.string(string(entry.Kind))
	e.string(string(entry.Period))
	e.string(string(entry.Origin))
	e.string(entry.Ref)
	e.number(uint64(postings))
}

func (e *encoder) posting(p *Posting) {
	e.again(0, string(p.Debit))
	e.again(1, string(p.Credit))
	e.again(2, string(p.Asset))
	e.wide(p.Amount.Limbs())
	e.again(3, p.Card)
	e.again(4, p.Quote)
	e.again(5, string(p.Meter))
	e.wide(p.Quantity.Limbs())
	e.number(p.Events)
}

func (e *encoder) number(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

func (e *encoder) wide(hi int64, lo uint64) {
	h := uint64(hi)
	for h != 0 {
		e.b = append(e.b, byte(lo)|0x80)
		lo = lo>>7 | h<<57
		h >>= 7
	}
	e.number(lo)
}

func (e *encoder) string(s string) uint64 {
	k, ok := e.seen[s]
	if !ok {
		k = uint64(len(e.seen))
		e.seen[s] = k
		e.number(k)
		e.number(uint64(len(s)))
		e.b = append(e.b, s...)
		e.long = e.long || len(s) > maxString
		return k
	}
	e.number(k)
	return k
}

// again is string for a field that often repeats the value of the previous
// posting.
func (e *encoder) again(field int, s string) {
	last := &e.last[field]
	if len(s) > 0 && s == last.text { // The zero value of last is an empty text.
		e.number(last.number)
		return
	}
	last.text, last.number = s, e.string(s)
}

var errShort = errors.New("ends too early")

// DecodeRecord reads exactly what [AppendRecord] writes. The record shares no
// memory with data. It never panics, and allocates no more than a small
// multiple of the length of data.
func DecodeRecord(data []byte) (Record, error) {
	d := decoder{b: data}
	r := d.record()
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("%d bytes after the record", len(d.b))
	}
	if d.err != nil {
		return Record{}, fmt.Errorf("decoding record: at byte %d: %w", len(data)-len(d.b), d.err)
	}
	return r, nil
}

// decoder reads one record. After the first error every read returns zero.
type decoder struct {
	b    []byte
	seen []string
	set  map[string]struct{}
	err  error
}

func (d *decoder) record() Record {
	r := d.header()
	if n := d.count(5); n > 0 {
		r.Entries = make([]Entry, n)
		for i := range r.Entries {
			r.Entries[i].Book = r.Book
			d.entry(&r.Entries[i])
		}
	}
	return r
}

func (d *decoder) header() Record {
	if len(d.b) < 2 || d.b[0] != recordMagic {
		d.fail(errors.New("not a record"))
		return Record{}
	}
	if d.b[1] != recordVersion {
		d.fail(fmt.Errorf("version %d is not %d", d.b[1], recordVersion))
		return Record{}
	}
	d.b = d.b[2:]
	d.set = map[string]struct{}{}
	r := Record{Partition: d.small(), Cut: d.number(), Control: d.number(), Part: d.small(), Parts: d.small()}
	if r.Part >= r.Parts {
		d.fail(fmt.Errorf("part %d of %d", r.Part, r.Parts))
	}
	r.Book = events.Book(d.string())
	if n := d.count(1); n > 0 {
		r.Settled = make([]events.Period, n)
		for i := range r.Settled {
			r.Settled[i] = events.Period(d.string())
		}
	}
	return r
}

func (d *decoder) entry(e *Entry) {
	e.Kind = EntryKind(d.string())
	e.Period = events.Period(d.string())
	e.Origin = events.Period(d.string())
	e.Ref = d.string()
	n := d.count(9)
	if n == 0 {
		return
	}
	e.Postings = make([]Posting, n)
	for i := range e.Postings {
		p := &e.Postings[i]
		p.Debit = Account(d.string())
		p.Credit = Account(d.string())
		p.Asset = money.Asset(d.string())
		p.Amount = money.AmountFromLimbs(d.wide())
		p.Card = d.string()
		p.Quote = d.string()
		p.Meter = events.Meter(d.string())
		p.Quantity = money.QuantityFromLimbs(d.wide())
		p.Events = d.number()
		if d.err != nil {
			return
		}
		if err := p.Valid(); err != nil {
			d.fail(err)
			return
		}
	}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	n, size := binary.Uvarint(d.b)
	switch {
	case size == 0:
		d.fail(errShort)
		return 0
	case size < 0:
		d.fail(errors.New("number does not fit 64 bits"))
		return 0
	case size > 1 && d.b[size-1] == 0:
		d.fail(errors.New("number is not in its shortest form"))
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) small() int {
	n := d.number()
	if n > 1<<31-1 {
		d.fail(fmt.Errorf("number %d does not fit 31 bits", n))
		return 0
	}
	return int(n)
}

// count reads how many things follow, each of at least size bytes.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > uint64(len(d.b)/size) {
		d.fail(fmt.Errorf("%d things do not fit in %d bytes", n, len(d.b)))
		return 0
	}
	return int(n)
}

func (d *decoder) wide() (int64, uint64) {
	var hi, lo uint64
	for i := range d.b {
		if d.err != nil {
			return 0, 0
		}
		c := uint64(d.b[i] & 0x7f)
		shift := 7 * i
		switch {
		case shift >= 127 || bits.Len64(c) > 127-shift:
			d.fail(errors.New("number does not fit 127 bits"))
			return 0, 0
		case shift >= 64:
			hi |= c << (shift - 64)
		default:
			lo |= c << shift
			if shift > 57 {
				hi |= c >> (64 - shift)
			}
		}
		if d.b[i] < 0x80 {
			if i > 0 && c == 0 {
				d.fail(errors.New("number is not in its shortest form"))
				return 0, 0
			}
			d.b = d.b[i+1:]
			return int64(hi), lo
		}
	}
	d.fail(errShort)
	return 0, 0
}

func (d *decoder) string() string {
	k := d.number()
	if d.err != nil {
		return ""
	}
	if k < uint64(len(d.seen)) {
		return d.seen[k]
	}
	if k > uint64(len(d.seen)) {
		d.fail(fmt.Errorf("string %d, but only %d have been seen", k, len(d.seen)))
		return ""
	}
	n := d.number()
	if d.err != nil {
		return ""
	}
	if n > maxString {
		d.fail(fmt.Errorf("string of %d bytes, more than %d", n, maxString))
		return ""
	}
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return ""
	}
	s := string(d.b[:n])
	if _, twice := d.set[s]; twice {
		d.fail(fmt.Errorf("string %q is written twice", s))
		return ""
	}
	d.b = d.b[n:]
	d.set[s] = struct{}{}
	d.seen = append(d.seen, s)
	return s
}

// DecodeHeader reads the part of a record before its entries: the position of
// its cut, its book, and the periods settled. It does not read the entries, so
// the rest of the record may be malformed.
func DecodeHeader(data []byte) (Record, error) {
	d := decoder{b: data}
	r := d.header()
	if d.err != nil {
		return Record{}, fmt.Errorf("decoding the header of a record: at byte %d: %w", len(data)-len(d.b), d.err)
	}
	return r, nil
}
