package packed

import (
	"bytes"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/eventstest"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/golden"
	"github.com/aliquot-engine/aliquot/pkg/events/internal/varint"
)

// segmentType reads packed.proto itself, so that what other languages compile is
// what is tested here.
func segmentType(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	source, err := os.ReadFile("packed.proto")
	if err != nil {
		t.Fatal(err)
	}
	message := &descriptorpb.DescriptorProto{Name: proto.String("Segment")}
	types := map[string]descriptorpb.FieldDescriptorProto_Type{
		"uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32,
		"uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64,
		"sint64": descriptorpb.FieldDescriptorProto_TYPE_SINT64,
		"string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
		"bytes":  descriptorpb.FieldDescriptorProto_TYPE_BYTES,
		"bool":   descriptorpb.FieldDescriptorProto_TYPE_BOOL,
	}
	line := regexp.MustCompile(`(?m)^  (repeated )?(\w+) (\w+) = (\d+);`)
	for _, m := range line.FindAllStringSubmatch(string(source), -1) {
		number, _ := strconv.Atoi(m[4])
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if m[1] != "" {
			label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		}
		kind, ok := types[m[2]]
		if !ok {
			t.Fatalf("packed.proto: type %s", m[2])
		}
		message.Field = append(message.Field, &descriptorpb.FieldDescriptorProto{
			Name: proto.String(m[3]), Number: proto.Int32(int32(number)), Label: &label, Type: &kind,
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("packed.proto"), Package: proto.String("aliquot.events.v1"),
		Syntax: proto.String("proto3"), MessageType: []*descriptorpb.DescriptorProto{message},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

func raw(u events.Usage) *RawUsage {
	var r RawUsage
	if err := r.Set(&u); err != nil {
		panic(err)
	}
	return &r
}

func Pack(t testing.TB, all []events.Usage) []byte {
	t.Helper()
	var b Builder
	b.Reset("acme", all[0].Sequenced)
	for i := range all {
		if !b.Add(raw(all[i])) {
			t.Fatalf("event %d does not fit", i)
		}
	}
	packed := b.AppendTo(nil)
	if len(packed) > b.bound {
		t.Errorf("packed into %d bytes, more than the bound of %d", len(packed), b.bound)
	}
	return packed
}

func TestWhatIsPackedIsWhatIsDecoded(t *testing.T) {
	for _, sequenced := range []bool{true, false} {
		for _, n := range []int{1, 2, 7, 1000, MaxEvents} {
			all := eventstest.Samples(sequenced, n)
			var c Columns
			if err := c.Decode(Pack(t, all)); err != nil {
				t.Fatal(err)
			}
			if c.N != n {
				t.Fatalf("%d events, want %d", c.N, n)
			}
			for i, want := range all {
				if got := c.Event(i); !reflect.DeepEqual(got, want) {
					t.Fatalf("event %d of %d:\n got %+v\nwant %+v", i, n, got, want)
				}
			}
		}
	}
}

func TestExtremesOfEveryColumnSurvive(t *testing.T) {
	base := eventstest.Samples(true, 1)[0]
	var all []events.Usage
	for _, sequence := range []uint64{0, math.MaxUint64, 1, math.MaxInt64 + 1} {
		for _, q := range []string{"0", "0.000000000000000001", "170141183460469231731.687303715884105727"} {
			for _, span := range [][2]int64{{0, 0}, {0, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {1, 2}} {
				u := base
				u.Sequence, u.Epoch, u.Quantity, u.Start, u.End = sequence, sequence, eventstest.Quantity(q), span[0], span[1]
				all = append(all, u)
			}
		}
	}
	var c Columns
	if err := c.Decode(Pack(t, all)); err != nil {
		t.Fatal(err)
	}
	for i, want := range all {
		if got := c.Event(i); !reflect.DeepEqual(got, want) {
			t.Errorf("event %d:\n got %+v\nwant %+v", i, got, want)
		}
	}
}

// Both directions: what we write, any protobuf library reads and writes again as
// the same bytes; what it writes from the values, we read.
func TestAnyProtobufLibraryReadsAndWritesSegments(t *testing.T) {
	descriptor := segmentType(t)
	if n := descriptor.Fields().Len(); n != fieldCount-1 {
		t.Fatalf("packed.proto has %d fields, the code knows %d", n, fieldCount-1)
	}
	for number := 1; number < fieldCount; number++ {
		field := descriptor.Fields().ByNumber(protoreflect.FieldNumber(number))
		if field == nil || string(field.Name()) != fieldNames[number] {
			t.Fatalf("field %d is %v in packed.proto, %s in the code", number, field, fieldNames[number])
		}
	}
	for _, sequenced := range []bool{true, false} {
		for _, n := range []int{1, 2, 1000} {
			packed := Pack(t, eventstest.Samples(sequenced, n))
			m := dynamicpb.NewMessage(descriptor)
			if err := proto.Unmarshal(packed, m); err != nil {
				t.Fatal(err)
			}
			if len(m.GetUnknown()) > 0 {
				t.Error("the library found unknown fields")
			}
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(packed, again) {
				t.Errorf("the library writes %d bytes, differing from byte %d of %d", len(again), golden.Difference(again, packed), len(packed))
			}
		}
	}
}

// A writer that knows nothing of constant columns or a coarse time unit, and
// writes its fields backwards, is understood.
func TestAPlainWriterIsUnderstood(t *testing.T) {
	all := eventstest.Samples(false, 50)
	descriptor := segmentType(t)
	m := dynamicpb.NewMessage(descriptor)
	field := func(name string) protoreflect.FieldDescriptor {
		return descriptor.Fields().ByName(protoreflect.Name(name))
	}
	put := func(name string, v any) { m.Mutable(field(name)).List().Append(protoreflect.ValueOf(v)) }
	count := uint32(0)
	str := func(s string) uint32 {
		put("strings", s)
		count++
		return count - 1
	}
	m.Set(field("version"), protoreflect.ValueOf(uint32(1)))
	m.Set(field("provider"), protoreflect.ValueOf("acme"))
	m.Set(field("events"), protoreflect.ValueOf(uint32(len(all))))
	m.Set(field("time_unit"), protoreflect.ValueOf(uint64(1)))
	var ids []byte
	last := int64(0)
	for i, u := range all {
		put("source_name", str(u.Source))
		put("source", uint32(i))
		put("id_length", uint32(len(u.ID)))
		ids = append(ids, u.ID...)
		put("node", str(string(u.Node)))
		put("customer", str(string(u.Customer)))
		put("meter", str(string(u.Meter)))
		if len(u.Attributes) > 0 {
			put("set_size", uint32(len(u.Attributes)))
			put("set", uint32(m.Get(field("set_size")).List().Len()))
			for _, a := range u.Attributes {
				put("set_name", str(a.Name))
				put("set_value", str(a.Value))
			}
		} else {
			put("set", uint32(0))
		}
		hi, lo, scale, err := u.Quantity.Mantissa()
		if err != nil {
			t.Fatal(err)
		}
		put("quantity_low", lo)
		put("quantity_high", hi)
		put("quantity_scale", uint32(scale))
		put("end", u.End-last)
		last = u.End
		put("duration", uint64(u.End-u.Start))
		if u.Replaces+u.Retracts != "" {
			put("amend_event", uint32(i))
			put("amend_retracts", u.Retracts != "")
			put("amend_id", str(u.Replaces+u.Retracts))
		}
	}
	m.Set(field("ids"), protoreflect.ValueOf(ids))
	var backwards []byte
	for number := fieldCount - 1; number > 0; number-- {
		one := dynamicpb.NewMessage(descriptor)
		f := descriptor.Fields().ByNumber(protoreflect.FieldNumber(number))
		if m.Has(f) {
			one.Set(f, m.Get(f))
		}
		part, err := proto.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		backwards = append(backwards, part...)
	}
	var plain, dense Columns
	if err := plain.Decode(backwards); err != nil {
		t.Fatal(err)
	}
	if err := dense.Decode(Pack(t, all)); err != nil {
		t.Fatal(err)
	}
	for i, want := range all {
		if got := plain.Event(i); !reflect.DeepEqual(got, want) {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, got, want)
		}
		// Fails when a fingerprint or key is made of numbers of the string table.
		if plain.Fingerprint(i) != dense.Fingerprint(i) || plain.IdentityKey(i) != dense.IdentityKey(i) {
			t.Fatalf("event %d: its fingerprint or key depends on how the segment is laid out", i)
		}
	}
}

func TestSegmentsAreRefusedByColumn(t *testing.T) {
	scalar := func(field int, v uint64) []byte { return appendScalar(nil, field, v) }
	column := func(field int, v ...byte) []byte { return appendField(nil, field, v) }
	text := func(field int, s string) []byte { return appendField(nil, field, s) }
	// base is one foreign event from which each case takes or changes fields.
	base := map[int][]byte{
		fieldVersion: scalar(fieldVersion, 1), fieldProvider: text(fieldProvider, "acme"),
		fieldEvents:     scalar(fieldEvents, 1),
		fieldStrings:    bytes.Join([][]byte{text(fieldStrings, "s"), text(fieldStrings, "b"), text(fieldStrings, "a"), text(fieldStrings, "")}, nil),
		fieldSourceName: column(fieldSourceName, 0), fieldIDLength: column(fieldIDLength, 2), fieldIDs: text(fieldIDs, "id"),
		fieldQuantityLow: column(fieldQuantityLow, 5), fieldTimeUnit: scalar(fieldTimeUnit, 1), fieldEnd: column(fieldEnd, 100),
	}
	assemble := func(change map[int][]byte) []byte {
		var b []byte
		for field := 1; field < fieldCount; field++ {
			if part, ok := change[field]; ok {
				b = append(b, part...)
			} else {
				b = append(b, base[field]...)
			}
		}
		return b
	}
	var c Columns
	if err := c.Decode(assemble(nil)); err != nil {
		t.Fatalf("the base itself: %v", err)
	}
	type fields = map[int][]byte
	for name, test := range map[string]struct {
		change fields
		column string
	}{
		"an unknown version":                 {fields{fieldVersion: scalar(fieldVersion, 2)}, "version"},
		"no version":                         {fields{fieldVersion: nil}, "version"},
		"a column twice":                     {fields{fieldEnd: append(column(fieldEnd, 100), column(fieldEnd, 100)...)}, "end"},
		"a column that is not packed":        {fields{fieldEnd: scalar(fieldEnd, 100)}, "end"},
		"a scalar as bytes":                  {fields{fieldEvents: column(fieldEvents, 1)}, "events"},
		"an unknown field":                   {fields{fieldVersion: append(scalar(fieldVersion, 1), scalar(99, 1)...)}, "segment"},
		"no provider":                        {fields{fieldProvider: nil}, "provider"},
		"a provider with a space":            {fields{fieldProvider: text(fieldProvider, "a b")}, "provider"},
		"no events":                          {fields{fieldEvents: nil}, "events"},
		"too many events":                    {fields{fieldEvents: scalar(fieldEvents, MaxEvents+1)}, "events"},
		"fewer values than events":           {fields{fieldEvents: scalar(fieldEvents, 3), fieldIDLength: column(fieldIDLength, 1), fieldIDs: text(fieldIDs, "abc"), fieldNode: column(fieldNode, 0, 0)}, "node"},
		"more values than events":            {fields{fieldNode: column(fieldNode, 0, 0)}, "node"},
		"an index outside its table":         {fields{fieldMeter: column(fieldMeter, 4)}, "meter"},
		"an index outside, among many":       {fields{fieldEvents: scalar(fieldEvents, 2), fieldIDLength: column(fieldIDLength, 1), fieldEnd: column(fieldEnd, 1, 1), fieldCustomer: column(fieldCustomer, 0, 4)}, "customer"},
		"an empty name":                      {fields{fieldNode: column(fieldNode, 3)}, "node"},
		"a name of 129 bytes":                {fields{fieldStrings: text(fieldStrings, strings.Repeat("x", 129))}, "node"},
		"a name with a space":                {fields{fieldStrings: text(fieldStrings, "a b")}, "node"},
		"a string of 513 bytes":              {fields{fieldStrings: text(fieldStrings, strings.Repeat("x", 513))}, "strings"},
		"a string that is not UTF-8":         {fields{fieldStrings: text(fieldStrings, "\xff")}, "strings"},
		"a NUL":                              {fields{fieldStrings: text(fieldStrings, "a\x00")}, "strings"},
		"a C1 control":                       {fields{fieldStrings: text(fieldStrings, "a\u0085")}, "strings"},
		"no source":                          {fields{fieldSourceName: nil}, "source_name"},
		"an empty source":                    {fields{fieldSourceName: column(fieldSourceName, 3)}, "source_name"},
		"more sources than events":           {fields{fieldSourceName: column(fieldSourceName, 0, 1)}, "source_name"},
		"an epoch without sequences":         {fields{fieldSourceEpoch: column(fieldSourceEpoch, 1)}, "source_epoch"},
		"an empty set":                       {fields{fieldSetSize: column(fieldSetSize, 0)}, "set_size"},
		"a set of 33 attributes":             {fields{fieldSetSize: column(fieldSetSize, 33)}, "set_size"},
		"a set short of names":               {fields{fieldSetSize: column(fieldSetSize, 2), fieldSetName: column(fieldSetName, 0), fieldSetValue: column(fieldSetValue, 0, 0)}, "set_name"},
		"a set in the wrong order":           {fields{fieldSetSize: column(fieldSetSize, 2), fieldSetName: column(fieldSetName, 1, 2), fieldSetValue: column(fieldSetValue, 0, 0)}, "set_name"},
		"a set with a name twice":            {fields{fieldSetSize: column(fieldSetSize, 2), fieldSetName: column(fieldSetName, 1, 1), fieldSetValue: column(fieldSetValue, 0, 0)}, "set_name"},
		"a set that is not there":            {fields{fieldSet: column(fieldSet, 1)}, "set"},
		"ids that are shorter than said":     {fields{fieldIDs: text(fieldIDs, "i")}, "ids"},
		"an id of no bytes":                  {fields{fieldIDLength: column(fieldIDLength, 0), fieldIDs: nil}, "id_length"},
		"an id of 257 bytes":                 {fields{fieldIDLength: appendField(nil, fieldIDLength, []byte{0x81, 2}), fieldIDs: text(fieldIDs, strings.Repeat("x", 257))}, "id_length"},
		"an id with a NUL":                   {fields{fieldIDs: text(fieldIDs, "i\x00")}, "ids"},
		"a letter cut between two ids":       {fields{fieldEvents: scalar(fieldEvents, 2), fieldEnd: column(fieldEnd, 1, 1), fieldIDLength: column(fieldIDLength, 1), fieldIDs: text(fieldIDs, "é")}, "ids"},
		"ids of sequenced events":            {fields{fieldSequenced: scalar(fieldSequenced, 1), fieldSequence: column(fieldSequence, 1)}, "ids"},
		"sequences of events that have none": {fields{fieldSequence: column(fieldSequence, 1)}, "sequence"},
		"sequenced but without sequences":    {fields{fieldSequenced: scalar(fieldSequenced, 1), fieldIDs: nil, fieldIDLength: nil}, "sequence"},
		"a quantity beyond 127 bits":         {fields{fieldQuantityHigh: column(fieldQuantityHigh, 20)}, "quantity_low"},
		"19 decimal places":                  {fields{fieldQuantityScale: column(fieldQuantityScale, 19)}, "quantity_scale"},
		"no time unit":                       {fields{fieldTimeUnit: nil}, "time_unit"},
		"a time unit above a second":         {fields{fieldTimeUnit: scalar(fieldTimeUnit, 1e9+1)}, "time_unit"},
		"an end before 1970":                 {fields{fieldEnd: column(fieldEnd, 1)}, "end"},
		"an end after 2262":                  {fields{fieldEnd: appendField(nil, fieldEnd, varint.Append(nil, varint.Zigzag(1<<62))), fieldTimeUnit: scalar(fieldTimeUnit, 1000)}, "end"},
		"no end":                             {fields{fieldEnd: nil}, "end"},
		"a start before 1970":                {fields{fieldDuration: column(fieldDuration, 51)}, "duration"},
		"an amendment of no event":           {fields{fieldAmendEvent: column(fieldAmendEvent, 1)}, "amend_event"},
		"an amendment of no id":              {fields{fieldAmendEvent: column(fieldAmendEvent, 0), fieldAmendID: column(fieldAmendID, 3)}, "amend_id"},
		"an amendment that is neither":       {fields{fieldAmendEvent: column(fieldAmendEvent, 0), fieldAmendRetracts: column(fieldAmendRetracts, 2)}, "amend_retracts"},
		"a number that does not end":         {fields{fieldQuantityLow: column(fieldQuantityLow, 0x80)}, "quantity_low"},
		"a length beyond the end":            {fields{fieldAmendID: {byte(fieldAmendID<<3 | 2 - 0x80 | 0x80), fieldAmendID >> 4, 100}}, "amend_id"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Decode(assemble(test.change))
			column, ok := err.(*ColumnError)
			if !ok || column.Column != test.column {
				t.Errorf("got %v, want a refusal of %s", err, test.column)
			}
		})
	}
}
