// Package events is what the services say to each other: the types, their
// bytes, and nothing that acts on them.
//
// One file a speaker: usage.go and message.go for providers and ingest,
// decision.go for commands, movement.go for registers, payout.go for
// distribute; refusal.go and calendar.go are shared words. The bytes of usage have
// packages of their own: cloudevents reads JSON, packed has segments of events in
// columns, leaf is what the signed logs hash of an event.
//
// # Invariants
//
//   - Every message has a version, and every version that was ever written can
//     be read: golden bytes in testdata say so.
//   - Encoding is deterministic: equal values give equal bytes.
//   - Decoding never panics and never allocates more than its input justifies.
package events
