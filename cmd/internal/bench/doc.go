// Package bench measures the real path on this machine: usage over loopback
// HTTP, through the streams, to the ledger, every write synced.
//
// The method: one process runs every service on an empty folder, as `aliquot up`
// does. Senders in the same process and on the same cores post bodies that were
// encoded before the run; only sequences and times in them are patched. A run
// ends when the last event is settled. Cost is the CPU time of the whole process,
// including the generator, per event; memory is the process's resident set.
//
// # Invariants
//
//   - Nothing is omitted: authentication, validation, sync, duplicates, pricing
//     and the ledger are those of production.
//   - What is measured is verified: a run whose events are not all accepted, or
//     whose charges do not add up, is an error and not a figure.
package bench
