package packed

import (
	"bytes"
	"fmt"
	"math"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/chars"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
	"github.com/aliquot-engine/aliquot/pkg/money"
)

// Limits of a segment. They bound what one hostile segment can cost: decoding
// takes memory and time proportional to them.
const (
	MaxEvents     = 10_000    // events of a segment, and of a submission
	MaxPacked     = 960 << 10 // bytes of a packed segment; fits a stream message uncompressed
	MaxStrings    = 100_000   // strings of a segment
	MaxSource     = 512       // bytes of a source
	MaxID         = 256       // bytes of an event's id
	maxTimeUnit   = 1e9       // nanoseconds
	MaxScale      = 18        // decimal places of a quantity
	packedVersion = 1         // of packed.proto
	maxString     = MaxSource // the longest string of any use
)

// Field numbers of packed.proto, with the names of the columns in errors.
const (
	fieldVersion = 1 + iota
	fieldProvider
	fieldSequenced
	fieldEvents
	fieldStrings
	fieldSourceName
	fieldSourceEpoch
	fieldSetSize
	fieldSetName
	fieldSetValue
	fieldSource
	fieldSequence
	fieldIDLength
	fieldIDs
	fieldNode
	fieldCustomer
	fieldMeter
	fieldSet
	fieldQuantityLow
	fieldQuantityHigh
	fieldQuantityScale
	fieldTimeUnit
	fieldEnd
	fieldDuration
	fieldAmendEvent
	fieldAmendRetracts
	fieldAmendID
	fieldCount
)

var fieldNames = [fieldCount]string{
	"segment", "version", "provider", "sequenced", "events", "strings", "source_name",
	"source_epoch", "set_size", "set_name", "set_value", "source", "sequence", "id_length",
	"ids", "node", "customer", "meter", "set", "quantity_low", "quantity_high",
	"quantity_scale", "time_unit", "end", "duration", "amend_event", "amend_retracts", "amend_id",
}

// ColumnError says which column of a packed segment violates packed.proto, and
// how.
type ColumnError struct {
	Column  string // a field's name in packed.proto, or "segment"
	Problem string
}

func (e *ColumnError) Error() string {
	return "decoding segment: " + e.Column + ": " + e.Problem
}

func columnError(field int, format string, args ...any) error {
	return &ColumnError{fieldNames[field], fmt.Sprintf(format, args...)}
}

// scratch is the memory that a [Columns] reuses from segment to segment.
type scratch struct {
	pairs   []SetAttr // memory of Sets
	sizes   []uint32
	named   []bool   // for each string: whether it can be a name
	allName bool     // every string can be a name
	low     []uint64 // durations, after Decode
	high    []uint64 // ends, after Decode
	scale   []uint32
	length  []uint32

	// Values for leaves, in the form of the segment.
	mantissa     []uint64
	mantissaHigh []uint64 // empty if all are 0
	places       []uint32
	unit         uint64 // of durations and ends, nanoseconds

	lazy hashes // see identity.go
}

// Decode reads a packed segment: the bytes that packed.proto defines, with all
// its checks. Every error is a [*ColumnError], after which c must not be used.
// Slices of c alias packed and are overwritten by the next Decode. Once c has
// seen a segment of some size, further ones of that size allocate nothing
// except the provider's name if it changes.
func (c *Columns) Decode(packed []byte) error {
	c.N = 0
	c.work.lazy.done = false
	if len(packed) > MaxPacked {
		return columnError(0, "%d bytes, more than %d", len(packed), MaxPacked)
	}
	var fields segmentFields
	if err := c.split(packed, &fields); err != nil {
		return err
	}
	if err := c.decodeHead(&fields); err != nil {
		return err
	}
	if err := c.decodeSources(&fields); err != nil {
		return err
	}
	if err := c.decodeSets(&fields); err != nil {
		return err
	}
	if err := c.decodeIdentity(&fields); err != nil {
		return err
	}
	if err := c.decodeContent(&fields); err != nil {
		return err
	}
	if err := c.decodeTimes(&fields); err != nil {
		return err
	}
	return c.decodeAmends(&fields)
}

// segmentFields is the fields of a segment: the bytes of length-delimited
// fields, and the values of scalar ones.
type segmentFields struct {
	bytes  [fieldCount][]byte
	scalar [fieldCount]uint64
}

// split finds the fields, in whatever order they were written.
func (c *Columns) split(packed []byte, fields *segmentFields) error {
	c.Strings = c.Strings[:0]
	var seen uint32
	for at := 0; at < len(packed); {
		tag, width := varint.Read(packed[at:])
		if width == 0 {
			return columnError(0, "broken tag at byte %d", at)
		}
		at += width
		number := tag >> 3
		if number == 0 || number >= fieldCount {
			return columnError(0, "unknown field %d", number)
		}
		field := int(number)
		if field != fieldStrings && seen&(1<<field) != 0 {
			return columnError(field, "occurs twice")
		}
		seen |= 1 << field
		value, width := varint.Read(packed[at:])
		if width == 0 {
			return columnError(field, "broken number at byte %d", at)
		}
		at += width
		switch scalar := 1<<field&scalarFields != 0; {
		case scalar && tag&7 == 0:
			fields.scalar[field] = value
		case !scalar && tag&7 == 2:
			if value > uint64(len(packed)-at) {
				return columnError(field, "%d bytes, but %d are left", value, len(packed)-at)
			}
			text := packed[at : at+int(value) : at+int(value)]
			at += int(value)
			if field != fieldStrings {
				fields.bytes[field] = text
				continue
			}
			if len(c.Strings) == MaxStrings {
				return columnError(field, "more than %d", MaxStrings)
			}
			c.Strings = append(c.Strings, text)
		default:
			return columnError(field, "wire type %d", tag&7)
		}
	}
	return nil
}

const scalarFields = 1<<fieldVersion | 1<<fieldSequenced | 1<<fieldEvents | 1<<fieldTimeUnit

func (c *Columns) decodeHead(fields *segmentFields) error {
	if v := fields.scalar[fieldVersion]; v != packedVersion {
		return columnError(fieldVersion, "%d is unknown, only %d is", v, packedVersion)
	}
	if p := fields.bytes[fieldProvider]; string(p) != string(c.Provider) {
		c.Provider = events.Provider(p)
	}
	if err := events.CheckName(string(c.Provider)); err != nil {
		return columnError(fieldProvider, "%v", err)
	}
	if fields.scalar[fieldSequenced] > 1 {
		return columnError(fieldSequenced, "%d is not a bool", fields.scalar[fieldSequenced])
	}
	c.Sequenced = fields.scalar[fieldSequenced] == 1
	n := fields.scalar[fieldEvents]
	if n == 0 || n > MaxEvents {
		return columnError(fieldEvents, "%d, not 1 to %d", n, MaxEvents)
	}
	c.N = int(n)

	c.work.named = varint.Resize(c.work.named, len(c.Strings))
	c.work.allName = true
	for i, s := range c.Strings {
		if len(s) > maxString {
			return columnError(fieldStrings, "string %d has %d bytes, more than %d", i, len(s), maxString)
		}
		name := chars.IsPlainName(s)
		if !name {
			if problem := chars.Problem(s); problem != "" {
				return columnError(fieldStrings, "string %d %s", i, problem)
			}
			name = chars.NameProblem(s) == ""
		}
		c.work.named[i] = name
		c.work.allName = c.work.allName && name
	}
	return nil
}

func (c *Columns) decodeSources(fields *segmentFields) error {
	names, ok := varint.Append32(c.work.length[:0], fields.bytes[fieldSourceName], c.N)
	c.work.length = names
	if !ok || len(names) == 0 {
		return columnError(fieldSourceName, "not 1 to %d numbers", c.N)
	}
	epochs, problem := varint.Column64(c.work.low, fields.bytes[fieldSourceEpoch], len(names))
	c.work.low = epochs
	if problem != "" {
		return columnError(fieldSourceEpoch, "%s", problem)
	}
	c.Sources = varint.Resize(c.Sources, len(names))
	for i, name := range names {
		if int64(name) >= int64(len(c.Strings)) {
			return columnError(fieldSourceName, "string %d of %d", name, len(c.Strings))
		}
		if len(c.Strings[name]) == 0 {
			return columnError(fieldSourceName, "source %d is empty", i)
		}
		if epochs[i] != 0 && !c.Sequenced {
			return columnError(fieldSourceEpoch, "epoch of source %d, which is not sequenced", i)
		}
		c.Sources[i] = SourceRef{name, epochs[i]}
	}
	return nil
}

func (c *Columns) decodeSets(fields *segmentFields) error {
	sizes, ok := varint.Append32(c.work.length[:0], fields.bytes[fieldSetSize], c.N)
	c.work.length = sizes
	if !ok {
		return columnError(fieldSetSize, "not at most %d numbers", c.N)
	}
	total := 0
	for i, size := range sizes {
		if size == 0 || size > events.MaxAttributes {
			return columnError(fieldSetSize, "set %d has %d attributes, not 1 to %d", i+1, size, events.MaxAttributes)
		}
		total += int(size)
	}
	names, ok := varint.Append32(c.work.sizes[:0], fields.bytes[fieldSetName], total)
	c.work.sizes = names
	if !ok || len(names) != total {
		return columnError(fieldSetName, "%d numbers or more, not %d", len(names), total)
	}
	values, ok := varint.Append32(c.work.scale[:0], fields.bytes[fieldSetValue], total)
	c.work.scale = values
	if !ok || len(values) != total {
		return columnError(fieldSetValue, "%d numbers or more, not %d", len(values), total)
	}
	c.work.pairs = varint.Resize(c.work.pairs, total)
	c.Sets = append(c.Sets[:0], nil)
	from := 0
	for i, size := range sizes {
		set := c.work.pairs[from : from+int(size) : from+int(size)]
		for j := range set {
			name, value := names[from+j], values[from+j]
			switch {
			case int64(name) >= int64(len(c.Strings)):
				return columnError(fieldSetName, "string %d of %d", name, len(c.Strings))
			case int64(value) >= int64(len(c.Strings)):
				return columnError(fieldSetValue, "string %d of %d", value, len(c.Strings))
			case len(c.Strings[name]) > events.MaxAttributeName:
				return columnError(fieldSetName, "set %d: name of %d bytes, more than %d", i+1, len(c.Strings[name]), events.MaxAttributeName)
			case !c.work.named[name]:
				return columnError(fieldSetName, "set %d: %s", i+1, chars.NameProblem(c.Strings[name]))
			case len(c.Strings[value]) > events.MaxText:
				return columnError(fieldSetValue, "set %d: value of %d bytes, more than %d", i+1, len(c.Strings[value]), events.MaxText)
			case j > 0 && bytes.Compare(c.Strings[set[j-1].Name], c.Strings[name]) >= 0:
				return columnError(fieldSetName, "set %d is not ascending by name", i+1)
			}
			set[j] = SetAttr{name, value}
		}
		c.Sets = append(c.Sets, set)
		from += int(size)
	}
	return nil
}

func (c *Columns) decodeIdentity(fields *segmentFields) error {
	if err := c.decodeIndex(&c.Source, fieldSource, fields, len(c.Sources)); err != nil {
		return err
	}
	c.Sequence, c.IDEnd, c.IDBytes = c.Sequence[:0], c.IDEnd[:0], nil
	if c.Sequenced {
		if len(fields.bytes[fieldIDLength]) > 0 || len(fields.bytes[fieldIDs]) > 0 {
			return columnError(fieldIDs, "ids of events that are sequenced")
		}
		c.Sequence = varint.Resize(c.Sequence, c.N)
		if !varint.Deltas(c.Sequence, fields.bytes[fieldSequence]) {
			return columnError(fieldSequence, "not %d numbers", c.N)
		}
		return nil
	}
	if len(fields.bytes[fieldSequence]) > 0 {
		return columnError(fieldSequence, "sequence of events that are not sequenced")
	}
	ends, problem := varint.Column32(c.IDEnd, fields.bytes[fieldIDLength], c.N, MaxID+1)
	c.IDEnd = ends
	if problem != "" {
		return columnError(fieldIDLength, "%s", problem)
	}
	total := uint32(0)
	for i, length := range ends {
		if length == 0 {
			return columnError(fieldIDLength, "event %d has none", i)
		}
		total += length
		ends[i] = total
	}
	c.IDBytes = fields.bytes[fieldIDs]
	if int64(total) != int64(len(c.IDBytes)) {
		return columnError(fieldIDs, "%d bytes, but the lengths sum to %d", len(c.IDBytes), total)
	}
	if chars.IsPlainText(c.IDBytes) {
		return nil
	}
	for i := range c.N {
		if problem := chars.Problem(c.ID(i)); problem != "" {
			return columnError(fieldIDs, "id of event %d %s", i, problem)
		}
	}
	return nil
}

func (c *Columns) decodeContent(fields *segmentFields) error {
	for _, name := range [...]struct {
		field  int
		column *[]uint32
	}{{fieldNode, &c.Node}, {fieldCustomer, &c.Customer}, {fieldMeter, &c.Meter}} {
		if err := c.decodeIndex(name.column, name.field, fields, len(c.Strings)); err != nil {
			return err
		}
		if c.work.allName {
			continue
		}
		for i, s := range *name.column {
			if !c.work.named[s] {
				return columnError(name.field, "event %d: %s", i, chars.NameProblem(c.Strings[s]))
			}
		}
	}
	if err := c.decodeIndex(&c.Set, fieldSet, fields, len(c.Sets)); err != nil {
		return err
	}

	w := &c.work
	var problem string
	if w.mantissa, problem = varint.Column64(w.mantissa, fields.bytes[fieldQuantityLow], c.N); problem != "" {
		return columnError(fieldQuantityLow, "%s", problem)
	}
	if w.places, problem = varint.Column32(w.places, fields.bytes[fieldQuantityScale], c.N, MaxScale+1); problem != "" {
		return columnError(fieldQuantityScale, "%s", problem)
	}
	w.mantissaHigh = w.mantissaHigh[:0]
	if len(fields.bytes[fieldQuantityHigh]) > 0 {
		if w.mantissaHigh, problem = varint.Column64(w.mantissaHigh, fields.bytes[fieldQuantityHigh], c.N); problem != "" {
			return columnError(fieldQuantityHigh, "%s", problem)
		}
	}
	c.Quantity = varint.Resize(c.Quantity, c.N)
	for i, low := range w.mantissa {
		high := uint64(0)
		if len(w.mantissaHigh) > 0 {
			high = w.mantissaHigh[i]
		}
		q, err := money.QuantityFromMantissa(high, low, uint8(w.places[i]))
		if err != nil {
			return columnError(fieldQuantityLow, "quantity of event %d: %v", i, err)
		}
		c.Quantity[i] = q
	}
	return nil
}

func (c *Columns) decodeTimes(fields *segmentFields) error {
	unit := fields.scalar[fieldTimeUnit]
	c.work.unit = unit
	if unit == 0 || unit > maxTimeUnit {
		return columnError(fieldTimeUnit, "%d ns, not 1 to %d", unit, int64(maxTimeUnit))
	}
	var problem string
	if c.work.low, problem = varint.Column64(c.work.low, fields.bytes[fieldDuration], c.N); problem != "" {
		return columnError(fieldDuration, "%s", problem)
	}
	c.work.high = varint.Resize(c.work.high, c.N)
	if !varint.Deltas(c.work.high, fields.bytes[fieldEnd]) {
		return columnError(fieldEnd, "not %d numbers", c.N)
	}
	c.Start, c.End = varint.Resize(c.Start, c.N), varint.Resize(c.End, c.N)
	limit := math.MaxInt64 / unit
	for i, end := range c.work.high {
		if end > limit {
			return columnError(fieldEnd, "event %d ends outside 1970 to 2262", i)
		}
		duration := c.work.low[i]
		if duration > end {
			return columnError(fieldDuration, "event %d starts before 1970", i)
		}
		c.End[i] = int64(end * unit)
		c.Start[i] = int64((end - duration) * unit)
	}
	return nil
}

func (c *Columns) decodeAmends(fields *segmentFields) error {
	c.Amends = c.Amends[:0]
	if len(fields.bytes[fieldAmendEvent])+len(fields.bytes[fieldAmendRetracts])+len(fields.bytes[fieldAmendID]) == 0 {
		return nil
	}
	ordinals, ok := varint.Append32(c.work.length[:0], fields.bytes[fieldAmendEvent], c.N)
	c.work.length = ordinals
	if !ok || len(ordinals) == 0 {
		return columnError(fieldAmendEvent, "not 1 to %d numbers", c.N)
	}
	var problem string
	if c.work.scale, problem = varint.Column32(c.work.scale, fields.bytes[fieldAmendRetracts], len(ordinals), 2); problem != "" {
		return columnError(fieldAmendRetracts, "%s", problem)
	}
	if c.work.sizes, problem = varint.Column32(c.work.sizes, fields.bytes[fieldAmendID], len(ordinals), len(c.Strings)); problem != "" {
		return columnError(fieldAmendID, "%s", problem)
	}
	for i, ordinal := range ordinals {
		if int(ordinal) >= c.N || i > 0 && ordinal <= ordinals[i-1] {
			return columnError(fieldAmendEvent, "event %d is out of range or out of order", ordinal)
		}
		id := c.work.sizes[i]
		if n := len(c.Strings[id]); n == 0 || n > MaxID {
			return columnError(fieldAmendID, "id of %d bytes, not 1 to %d", n, MaxID)
		}
		c.Amends = append(c.Amends, Amendment{ordinal, c.work.scale[i] == 1, id})
	}
	return nil
}

func (c *Columns) decodeIndex(dst *[]uint32, field int, fields *segmentFields, limit int) error {
	column, problem := varint.Column32(*dst, fields.bytes[field], c.N, limit)
	*dst = column
	if problem != "" {
		return columnError(field, "%s", problem)
	}
	return nil
}

// ID returns the id of event i, which is empty if the segment is sequenced.
func (c *Columns) ID(i int) []byte {
	if c.Sequenced {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = c.IDEnd[i-1]
	}
	return c.IDBytes[from:c.IDEnd[i]]
}
