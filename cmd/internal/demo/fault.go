package demo

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/events"
	"github.com/aliquot-engine/aliquot/pkg/events/packed"
)

// Fault is one faulty submission, as it is sent.
type Fault struct {
	Says     string // what went wrong, for people
	Media    string // Content-Type
	Encoding string // Content-Encoding
	Live     bool   // received now, not at the end of the events
	Body     []byte
	Events   int             // number of events in it; 0 if it cannot be read as events
	Reasons  []events.Reason // reasons for which it must be refused, by ingest or by settle; each at least once
}

const faulty = "meridian/agent-0.9-beta"

// Faults returns every faulty submission of the day. Together they cover every
// reason for which usage can be refused.
func (w *World) Faults() []Fault {
	node, customer := string(w.Nodes[0].Name), string(w.Customers[0].Name)
	noon := Date.Add(12 * time.Hour).Format(time.RFC3339)
	one := func(id, end, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":"aliquot.usage","source":%q,"id":%q,"time":%q,"data":%s}`, faulty, id, end, data)
	}
	data := func(node, customer, meter, quantity, more string) string {
		return fmt.Sprintf(`{"node":%q,"customer":%q,"meter":%q,"quantity":%s%s}`, node, customer, meter, quantity, more)
	}
	gpu := func(quantity string) string { return data(node, customer, string(gpuSeconds), quantity, "") }
	batch := func(list ...string) []byte { return []byte("[" + strings.Join(list, ",\n") + "]") }
	const media = "application/cloudevents-batch+json"

	bad := batch(
		one("no-quantity", noon, fmt.Sprintf(`{"node":%q,"customer":%q,"meter":%q}`, node, customer, gpuSeconds)),
		one("quantity-true", noon, gpu(`true`)),
		one("long-node", noon, data(strings.Repeat("n", 300), customer, string(gpuSeconds), `"1"`, "")),
		one("control-character", noon, fmt.Sprintf(`{"node":"us\u0000east","customer":%q,"meter":%q,"quantity":"1"}`, customer, gpuSeconds)),
		one("quantity-word", noon, gpu(`"a lot"`)),
		one("quantity-negative", noon, gpu(`"-3"`)),
		one("quantity-absurd", noon, gpu(`"99999999999"`)),
		one("quantity-digits", noon, gpu(`"0.1234567890123456789"`)),
		one("time-word", "yesterday", gpu(`"1"`)),
		one("ends-before-start", noon, data(node, customer, string(gpuSeconds), `"1"`, `,"start":"2026-03-04T13:00:00Z"`)),
		one("node-unknown", noon, data("us-east-9999", customer, string(gpuSeconds), `"1"`, "")),
		one("customer-unknown", noon, data(node, "nobody", string(gpuSeconds), `"1"`, "")),
		one("meter-unknown", noon, data(node, customer, "gpu.second", `"1"`, "")),
		one("no-price", noon, data(node, customer, string(storageHours), `"12.5"`, "")),
		one("price-overflows", noon, data(node, customer, string(licences), `"99999999999999"`, "")),
		one("takes-back", noon, data(node, customer, string(gpuSeconds), `"1"`, `,"retracts":"job-17"`)),
		one("good-among-them", noon, gpu(`"42"`)),
	)
	clock := batch(
		one("from-the-future", "2250-01-01T00:00:00Z", gpu(`"1"`)),
		one("from-last-century", "1999-12-31T23:59:59Z", gpu(`"1"`)),
	)
	return []Fault{
		{"an agent in beta makes mistakes in its events", media, "", false, bad, 17, []events.Reason{
			events.Missing, events.WrongType, events.TooLong, events.BadText, events.BadNumber, events.Negative, events.Absurd,
			events.TooPrecise, events.BadTime, events.BadInterval, events.UnknownNode, events.UnknownCustomer, events.UnknownMeter,
			events.NoRate, events.Overflow, events.Unsupported,
		}},
		{"a clock is wrong", media, "", true, clock, 2, []events.Reason{events.FromFuture, events.BeyondHorizon}},
		{"a body is cut off", media, "", false, bad[:len(bad)/2], 0, []events.Reason{events.Malformed}},
		{"a small body unpacks to 24 MB", media, "gzip", false, bomb(24 << 20), 0, []events.Reason{events.TooLarge}},
		{"a segment names another provider", "application/vnd.aliquot.packed", "", false, w.foreign(), 0, []events.Reason{events.Unauthorized}},
		{"an agent restored from a backup repeats numbers", "application/vnd.aliquot.packed", "", false, w.contradiction(), len(w.kept), []events.Reason{events.Conflict}},
	}
}

func bomb(size int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range size >> 20 {
		_, _ = z.Write(block) // Writing to a buffer never fails.
	}
	_ = z.Close()
	return b.Bytes()
}

// foreign returns a valid segment of another provider.
func (w *World) foreign() []byte {
	u := events.Usage{Source: faulty, ID: "not-ours", Node: w.Nodes[0].Name, Customer: w.Customers[0].Name, Meter: gpuSeconds, Quantity: whole(1), Start: Date.UnixNano() + 1, End: Date.UnixNano() + 1}
	return Pack("somebody-else", []events.Usage{u})
}

// contradiction repeats events of the early morning with other quantities.
func (w *World) contradiction() []byte {
	list := make([]events.Usage, len(w.kept))
	for i, u := range w.kept {
		u.Quantity = whole(int64(1_000 + i))
		list[i] = u
	}
	return Pack(Provider, list)
}

// Pack encodes events as a body with one segment. It returns nil if one of them
// cannot be encoded.
func Pack(provider events.Provider, list []events.Usage) []byte {
	if len(list) == 0 {
		return nil
	}
	var b packed.Builder
	var raw packed.RawUsage
	b.Reset(provider, list[0].Sequenced)
	for i := range list {
		if raw.Set(&list[i]) != nil || !b.Add(&raw) {
			return nil
		}
	}
	packed := b.AppendTo(nil)
	return append(binary.AppendUvarint(nil, uint64(len(packed))), packed...)
}
