package tlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/settlement"
)

// MaxLeaf is the length of the longest leaf in bytes, which is the longest entry
// that an entry bundle of C2SP tlog-tiles can store.
const MaxLeaf = 1<<16 - 1

// maxRuns is the length in bytes of the longest runs that a leaf contains in
// full.
const maxRuns = 1 << 15

const leafVersion = 1

// mostEvents is more than any message has. It prevents sums of counts from
// wrapping.
const mostEvents = 1 << 32

// Unreadable is the kind of the leaf of a message that could not be decoded.
const Unreadable events.MessageKind = 0

// StreamLeaf is the leaf of one message of CONTROL, REGISTER, LEDGER or PAYOUT.
type StreamLeaf struct {
	Position uint64
	Subject  string
	Data     Hash // SHA-256 of the message's data
}

// Append appends the bytes of the leaf.
func (l *StreamLeaf) Append(dst []byte) []byte {
	dst = append(dst, 'S', leafVersion)
	dst = binary.AppendUvarint(dst, l.Position)
	dst = appendText(dst, l.Subject)
	return append(dst, l.Data[:]...)
}

// DecodeStreamLeaf reads exactly what [StreamLeaf.Append] writes.
func DecodeStreamLeaf(data []byte) (StreamLeaf, error) {
	d := decoder{data: data}
	d.head('S')
	l := StreamLeaf{Position: d.uint()}
	l.Subject = d.text()
	l.Data = d.hash()
	if err := d.end(); err != nil {
		return StreamLeaf{}, fmt.Errorf("decoding a stream leaf: %w", err)
	}
	return l, nil
}

// UsageLeaf is the leaf of one message of USAGE.
type UsageLeaf struct {
	Kind     events.MessageKind // or [Unreadable]
	Position uint64
	Data     Hash // SHA-256 of the message's data

	Control uint64 // of a barrier

	// The rest belongs to a batch.
	Events    uint64
	Contexts  uint64           // that the events have
	EventRoot Hash             // [EventTree.Root]
	Runs      []settlement.Run // of outcomes, in the order of the events; empty if Folded
	RunsHash  Hash             // SHA-256 of the runs, if Folded
	Folded    bool             // the runs are too long for a leaf
}

// Append appends the bytes of the leaf. Runs that are too long for a leaf are
// replaced by their hash; decoding then returns only the hash.
func (l *UsageLeaf) Append(dst []byte) []byte {
	dst = append(dst, 'U', leafVersion, byte(l.Kind))
	dst = binary.AppendUvarint(dst, l.Position)
	dst = append(dst, l.Data[:]...)
	switch l.Kind {
	case events.Barrier:
		dst = binary.AppendUvarint(dst, l.Control)
	case events.Batch:
		dst = binary.AppendUvarint(dst, l.Events)
		dst = binary.AppendUvarint(dst, l.Contexts)
		dst = append(dst, l.EventRoot[:]...)
		if l.Folded {
			return append(append(dst, 0), l.RunsHash[:]...)
		}
		begin := len(dst)
		dst = AppendRuns(dst, l.Runs)
		if len(dst)-begin > maxRuns {
			hash := sha256.Sum256(dst[begin:])
			dst = append(append(dst[:begin], 0), hash[:]...)
		}
	}
	return dst
}

// AppendRuns appends the bytes that runs have in a leaf. Where the leaf contains
// only their hash, they are shown beside it in these bytes.
func AppendRuns(dst []byte, runs []settlement.Run) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	for _, r := range runs {
		dst = binary.AppendUvarint(dst, uint64(r.Events))
		dst = append(dst, byte(r.Outcome))
		dst = appendText(dst, string(r.Reason))
	}
	return dst
}

// DecodeRuns reads exactly what [AppendRuns] writes.
func DecodeRuns(data []byte) ([]settlement.Run, error) {
	d := decoder{data: data}
	runs := d.runs(d.uint())
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decoding runs: %w", err)
	}
	return runs, nil
}

// DecodeUsageLeaf reads exactly what [UsageLeaf.Append] writes.
func DecodeUsageLeaf(data []byte) (UsageLeaf, error) {
	d := decoder{data: data}
	d.head('U')
	l := UsageLeaf{Kind: events.MessageKind(d.byte())}
	l.Position = d.uint()
	l.Data = d.hash()
	switch l.Kind {
	case Unreadable, events.Marker:
	case events.Barrier:
		l.Control = d.uint()
	case events.Batch:
		d.batch(&l)
	default:
		d.fail(errKind)
	}
	if err := d.end(); err != nil {
		return UsageLeaf{}, fmt.Errorf("decoding a usage leaf: %w", err)
	}
	return l, nil
}

// Leaves returns the number of leaves of the batch's tree.
func (l *UsageLeaf) Leaves() uint64 { return l.Events + l.Contexts }

// At returns what became of the event with this ordinal, from 0. It returns false
// if the leaf has no such event, or contains only the hash of its runs.
func (l *UsageLeaf) At(ordinal uint64) (settlement.Run, bool) {
	for _, r := range l.Runs {
		if ordinal < uint64(r.Events) {
			return r, true
		}
		ordinal -= uint64(r.Events)
	}
	return settlement.Run{}, false
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

var (
	errCut      = errors.New("it is truncated")
	errTrailing = errors.New("bytes follow the end of the leaf")
	errVersion  = errors.New("another kind or version of leaf")
	errKind     = errors.New("unknown kind of message")
	errVarint   = errors.New("an integer is not in its shortest form")
	errSum      = errors.New("the runs do not add up to the events")
	errContexts = errors.New("more contexts than events, or more events than a message can have")
	errReason   = errors.New("an outcome and its reason do not agree")
	errLong     = errors.New("runs too long for a leaf")
)

// decoder reads a leaf up to its first error and remembers that error.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.fail(errCut)
		return nil
	}
	taken := d.data[:n]
	d.data = d.data[n:]
	return taken
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) head(kind byte) {
	if h := d.take(2); h != nil && (h[0] != kind || h[1] != leafVersion) {
		d.fail(errVersion)
	}
}

func (d *decoder) uint() uint64 {
	n, width := binary.Uvarint(d.data)
	switch {
	case width == 0:
		d.fail(errCut)
		return 0
	case width < 0 || width > 1 && d.data[width-1] == 0:
		d.fail(errVarint)
		return 0
	}
	d.data = d.data[width:]
	return n
}

func (d *decoder) text() string { return string(d.take(d.uint())) }

func (d *decoder) hash() (h Hash) {
	copy(h[:], d.take(uint64(len(h))))
	return h
}

func (d *decoder) batch(l *UsageLeaf) {
	l.Events = d.uint()
	if l.Contexts = d.uint(); l.Contexts > l.Events || l.Events > mostEvents {
		d.fail(errContexts)
	}
	l.EventRoot = d.hash()
	before := len(d.data)
	count := d.uint()
	if count == 0 && l.Events > 0 {
		l.Folded, l.RunsHash = true, d.hash()
		return
	}
	l.Runs = d.runs(count)
	if before-len(d.data) > maxRuns {
		d.fail(errLong)
	}
	sum := uint64(0)
	for _, r := range l.Runs {
		sum += uint64(r.Events)
	}
	if sum != l.Events {
		d.fail(errSum)
	}
}

func (d *decoder) runs(count uint64) []settlement.Run {
	if count > uint64(len(d.data))/3 { // The shortest run has three bytes.
		d.fail(errCut)
		return nil
	}
	var runs []settlement.Run
	for range count {
		n := d.uint()
		if n > 1<<31-1 {
			d.fail(errSum)
			return nil
		}
		r := settlement.Run{Events: int(n), Outcome: events.Outcome(d.byte())}
		r.Reason = events.Reason(d.text())
		if r.Outcome < events.Accepted || r.Outcome > events.Refused || (r.Outcome == events.Refused) != (r.Reason != "") {
			d.fail(errReason)
			return nil
		}
		runs = append(runs, r)
	}
	return runs
}

func (d *decoder) end() error {
	if d.err == nil && len(d.data) > 0 {
		d.err = errTrailing
	}
	return d.err
}
