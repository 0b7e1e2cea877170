package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/aliquot-engine/aliquot/pkg/strict"
)

// decisionVersion is the version of the envelope and of every body in it. A
// field that is added later is omitted if it is empty, or requires a new
// version, so that the bytes of old decisions never change.
const decisionVersion = 1

// envelope is the form of a decision in CONTROL: one JSON object without white
// space, its members in this order, times in UTC as RFC 3339 with as many
// decimals as they need, amounts as decimal strings, attributes ascending.
type envelope struct {
	V        int             `json:"v"`
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Actor    Actor           `json:"actor"`
	Approver Actor           `json:"approver,omitempty"`
	At       time.Time       `json:"at"`
	Body     json.RawMessage `json:"body"`
}

// AppendDecision appends the bytes of d to dst. Equal decisions give equal
// bytes; instants are written in UTC whatever their zone. It fails with
// [Problems] if the decision is not valid, and fails if it needs more than
// [MaxDecision] bytes.
func AppendDecision(dst []byte, d Decision) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return dst, fmt.Errorf("encoding decision %q: %w", Clip(d.ID), err)
	}
	out, err := appendEnvelope(dst, d)
	if err != nil {
		return dst, fmt.Errorf("encoding decision %q: %w", Clip(d.ID), err)
	}
	if n := len(out) - len(dst); n > MaxDecision {
		return dst, fmt.Errorf("encoding decision %q: %d bytes are more than %d", Clip(d.ID), n, MaxDecision)
	}
	return out, nil
}

func appendEnvelope(dst []byte, d Decision) ([]byte, error) {
	body, err := AppendBody(nil, d.Body)
	if err != nil {
		return dst, err
	}
	return appendAround(dst, envelope{
		V: decisionVersion, ID: d.ID, Kind: d.Body.Kind(), Actor: d.Actor, Approver: d.Approver, At: d.At.UTC(), Body: emptyBody,
	}, body)
}

// emptyBody is a placeholder for a body, which the encoder would only check and
// copy.
var emptyBody = json.RawMessage("{}")

// appendAround writes an envelope, which ends with an empty body, around a body.
func appendAround(dst []byte, envelope any, body []byte) ([]byte, error) {
	out, err := appendJSON(slices.Grow(dst, len(body)+512), envelope)
	if err != nil {
		return dst, err
	}
	out = out[:len(out)-len(emptyBody)-len("}")]
	return append(append(out, body...), '}'), nil
}

// AppendBody appends the canonical JSON object of a body, whether it is valid
// or not: two bodies are the same if and only if these bytes are equal.
func AppendBody(dst []byte, b Body) ([]byte, error) {
	if b == nil || reflect.TypeOf(b).Kind() != reflect.Struct {
		return dst, fmt.Errorf("body of type %T is not one of the bodies, by value", b)
	}
	if v, ok := b.(interface{ inUTC() Body }); ok {
		b = v.inUTC()
	}
	if v, ok := b.(interface{ appendLong([]byte) ([]byte, error) }); ok {
		return v.appendLong(dst)
	}
	return appendJSON(dst, b)
}

// appendJSON writes the same as [json.Marshal], but does not escape HTML.
func appendJSON(dst []byte, v any) ([]byte, error) {
	buffer := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return dst, err
	}
	return buffer.Bytes()[:buffer.Len()-1], nil // Without the encoder's line feed.
}

// DecodeDecision reads exactly what [AppendDecision] writes: unknown members,
// kinds and versions, other spellings of the same value and trailing bytes are
// refused. It does not validate: a decision in the stream was made, and the
// directory decides whether it takes effect.
func DecodeDecision(data []byte) (Decision, error) {
	if len(data) > MaxDecision {
		return Decision{}, fmt.Errorf("decoding a decision: %d bytes are more than %d", len(data), MaxDecision)
	}
	if frame, list, ok := cutOutcomes(data); ok {
		d, err := decodeDecision(frame)
		if b, ok := d.Body.(PayoutsConfirmed); ok && err == nil {
			b.Results = list
			d.Body = b
			return d, nil
		}
	}
	return decodeDecision(data)
}

func decodeDecision(data []byte) (Decision, error) {
	var e envelope
	if err := strict.Decode(data, &e); err != nil {
		return Decision{}, fmt.Errorf("decoding a decision: %w", err)
	}
	if e.V != decisionVersion {
		return Decision{}, fmt.Errorf("decoding decision %q: version %d is not %d", Clip(e.ID), e.V, decisionVersion)
	}
	body, err := DecodeBody(e.Kind, e.Body)
	if err != nil {
		return Decision{}, fmt.Errorf("decoding decision %q: %w", Clip(e.ID), err)
	}
	d := Decision{ID: e.ID, Actor: e.Actor, Approver: e.Approver, At: e.At.UTC(), Body: body}
	again, err := appendEnvelope(nil, d)
	if err != nil {
		return Decision{}, fmt.Errorf("decoding decision %q: %w", Clip(e.ID), err)
	}
	if at := difference(data, again); at >= 0 {
		return Decision{}, fmt.Errorf("decoding decision %q: not in canonical form from byte %d", Clip(e.ID), at)
	}
	return d, nil
}

func decodeBody[B Body](data []byte) (Body, error) {
	var b B
	if err := strict.Decode(data, &b); err != nil {
		return nil, fmt.Errorf("body of %s: %w", b.Kind(), err)
	}
	return b, nil
}

// difference returns the first byte in which a and b differ, or -1.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return min(len(a), len(b))
}

// sortedKeys returns the keys of a map, ascending.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
