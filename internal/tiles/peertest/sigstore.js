// Reads inclusion proofs from standard input, one JSON object a line, and says of
// each whether the Merkle verification of @sigstore/verify accepts it.
'use strict';
const path = require('node:path');
const readline = require('node:readline');

// Not among the package's exports: named by its file.
const dist = path.join(__dirname, 'node_modules', '@sigstore', 'verify', 'dist');
const { verifyMerkleInclusion } = require(path.join(dist, 'tlog', 'merkle.js'));
const { VerificationError } = require(path.join(dist, 'error.js'));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const p = JSON.parse(line);
  const bytes = (text) => Buffer.from(text, 'base64');
  try {
    verifyMerkleInclusion(
      { canonicalizedBody: bytes(p.leaf), inclusionProof: { logIndex: p.index, hashes: p.path.map(bytes) } },
      { logSize: BigInt(p.size), logHash: bytes(p.root) },
    );
    console.log('accepted');
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    console.log('rejected');
  }
});
