// Package events defines what the services say to each other: types and their
// bytes, but nothing that acts on them.
//
// There is one file for each sender: usage.go and message.go for providers and
// ingest, decision.go for commands, movement.go for registers, payout.go for
// distribute; refusal.go and calendar.go are shared. The bytes of usage have
// their own packages: cloudevents reads JSON, packed has segments of events in
// columns, and leaf has the bytes of an event that the signed logs hash.
//
// # Invariants
//
//   - Every message has a version, and every version that was ever written can
//     be read; tests check this with golden bytes in testdata.
//   - Encoding is deterministic: equal values give equal bytes.
//   - Decoding never panics and never allocates more than its input justifies.
package events
