-- The ledger: what settle and distribute both write.
--
-- Amounts are blobs of 16 bytes (money.Amount.Bytes), whose byte order is the
-- order of the values. No table here has a secondary index except for account's
-- name: an index would be three quarters of the cost of the hot transaction.

CREATE TABLE writer (
  id        INTEGER PRIMARY KEY,          -- 1, 2, …
  name      TEXT    NOT NULL UNIQUE,      -- "settle-0", "distribute"
  relayed   INTEGER NOT NULL DEFAULT 0,   -- journal rows of this writer up to this number are in its stream
  published INTEGER NOT NULL DEFAULT 0    -- position in that stream of the last of them
) STRICT;

-- One row for each ledger.Record; record has the bytes that are published to the
-- stream. id = writer × 2^40 + number, so that each writer's rows are one ascending
-- run of the primary key, numbered 1, 2, … without gaps.
CREATE TABLE journal (
  id     INTEGER PRIMARY KEY,
  cut    INTEGER NOT NULL,
  book   TEXT    NOT NULL,
  part   INTEGER NOT NULL,
  record BLOB    NOT NULL
) STRICT;

CREATE TABLE account (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The fold of the journal. An account to which two writers post has a row for
-- each of them; its balance is their sum.
CREATE TABLE balance (
  writer  INTEGER NOT NULL,
  account INTEGER NOT NULL,
  asset   TEXT    NOT NULL,
  debit   BLOB    NOT NULL,
  credit  BLOB    NOT NULL,
  PRIMARY KEY (writer, account, asset)
) STRICT, WITHOUT ROWID;
