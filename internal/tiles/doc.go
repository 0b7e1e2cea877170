// Package tiles keeps a verifiable log on disk, as files that anyone may copy,
// serve and check.
//
// The method is that of C2SP tlog-tiles: leaves are stored in bundles of 256, the
// hashes of every eighth level of the tree in tiles of 256, and a checkpoint
// signs the root. Files are written and synced before the checkpoint that covers
// them replaces the previous one by a rename. So a start after a crash is the
// same as any other: what the checkpoint covers is read and verified, and what
// goes beyond it is written again.
//
// # Invariants
//
//   - A file that a published checkpoint covers never changes; a partial tile or
//     bundle is removed only after a checkpoint covers the full one.
//   - A checkpoint is published only if the tiles on disk prove it consistent
//     with the previous one.
//   - After a crash at any write, the log opens at the checkpoint published last,
//     and the same leaves give the same bytes again.
//   - A log whose checkpoint is missing, altered or of another log is not opened:
//     a log never begins again over what was signed.
//   - After an error nothing more is written until the log is opened again.
//
// # Files
//
//	checkpoint              the signed note of C2SP tlog-checkpoint
//	cosigned                the last checkpoint that every witness has cosigned
//	cosigned.some           the last one that at least one has
//	tile/<L>/<N>            256 hashes of 32 bytes: tile N of level L
//	tile/<L>/<N>.p/<W>      its first W hashes, while it is not full
//	tile/entries/<N>        256 leaves, each two bytes of length, big endian, and
//	                        its bytes
//	tile/entries/<N>.p/<W>  its first W leaves
//
// N is written in groups of three digits, each except the last after an x:
// 1234067 is x001/x234/067.
package tiles
