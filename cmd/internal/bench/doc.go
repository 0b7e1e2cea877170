// Package bench measures the real path on this machine: usage over loopback
// HTTP, through the streams, to the ledger, every write synced.
//
// The method: one process runs every service on an empty folder, as `aliquot up`
// does, and senders beside it on the same cores post bodies that were encoded
// before and are only patched (sequence and time). A run ends when the last
// event is settled. Cost is the CPU time of the whole process, generator
// included, for each event; memory is the process's resident set.
//
// # Invariants
//
//   - Nothing is left out: authentication, validation, sync, duplicates, pricing
//     and the ledger are the ones of production.
//   - What is measured is checked: a run whose events are not all accepted, or
//     whose charges do not add up, is an error and not a figure.
package bench
