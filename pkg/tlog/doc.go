// Package tlog is the arithmetic of verifiable logs: what a leaf is, how leaves
// become a signed root, and how anyone proves from that root what the log
// contains.
//
// The method is RFC 6962: SHA-256 with the prefix 0x00 for a leaf and 0x01 for a
// node, so that neither can be mistaken for the other. Package
// github.com/transparency-dev/merkle plans and verifies proofs, which are read
// from C2SP tlog-tiles. Roots are signed as C2SP tlog-checkpoints in the signed
// notes of golang.org/x/mod, and cosigned as C2SP tlog-cosignatures. Nothing here
// reads a disk or a clock: tiles come through a [TileReader], and times and seeds
// are arguments.
//
// # Invariants
//
//   - Leaf i of a log is the message at position i+1 of its stream.
//   - Encoding is deterministic and decoding strict: the bytes of a leaf that
//     decodes are the only bytes of that leaf. A leaf is at most 65,535 bytes.
//   - A proof verifies for one leaf, index, size and root only.
//   - A checkpoint opens for one origin only, and never without a signature of
//     the log's own key.
//   - Parsing never panics and never allocates more than its input justifies.
//
// # Leaves
//
// Integers are unsigned varints of encoding/binary in their shortest form; a
// text is its length and its bytes; hashes are 32 bytes.
//
//	stream leaf  'S' 0x01 position text(subject) SHA-256(data)
//	usage leaf   'U' 0x01 kind position SHA-256(data), and
//	  kind 0     nothing: the message is unreadable
//	  kind 1     events contexts root runs   (a batch)
//	  kind 2     control                     (a barrier)
//	  kind 3     nothing                     (a marker)
//	runs         count, then count × (events outcome-byte text(reason))
//	             or, if the runs take more than 32,768 bytes, 0x00
//	             SHA-256(runs)
//
// Events is the sum of the events of all runs. A run may have no events: a
// segment that could not be read is one refused run without events. A batch with
// events and the count 0 contains only the hash of its runs, so that no sequence
// of outcomes makes a leaf longer than a log can store. To prove an outcome of
// such a batch, the runs are shown beside the leaf.
//
// Root is the RFC 6962 root over the leaves of the batch's events, in the order
// of its segments, followed by the leaves of their contexts: the event with
// ordinal i is leaf i, context k is leaf events + k. It is SHA-256 of nothing if
// there are no events. A context contains what events of one segment have in
// common: each segment adds one context for each combination of source, meter and
// attributes that occurs in it, in the order of the first event with that
// combination. The bytes of both are defined by events.AppendLeaf and
// events.Context.Append.
package tlog
