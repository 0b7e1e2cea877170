-- The ledger: what settle and distribute both write.
--
-- Every key begins with the writer, the partition or the book, so that partitions
-- write to different places, and no row is written by two writers: an account to
-- which two writers post has a row for each of them. No table that a commit
-- writes takes numbers from a sequence or has a secondary index.
--
-- An amount is NUMERIC(39, 18), which every money.Amount fits. The largest is
-- 2^127 - 1 attos; a check refuses larger values.

CREATE TABLE IF NOT EXISTS writer (
  id        BIGINT PRIMARY KEY,                     -- partition + 1 of a settler, 4097 of the distributor
  name      TEXT   COLLATE "C" NOT NULL UNIQUE,
  relayed   BIGINT NOT NULL,                        -- messages of this writer up to this number are in its stream
  published BIGINT NOT NULL                         -- position in that stream of the last of them
);

-- One row for each ledger.Record; record has the bytes that are published to the
-- stream. id = writer × 2^40 + number: each writer's rows are one ascending run of
-- the primary key, numbered 1, 2, … without gaps.
CREATE TABLE IF NOT EXISTS journal (
  id     BIGINT PRIMARY KEY,
  cut    BIGINT NOT NULL,
  book   TEXT   COLLATE "C" NOT NULL,
  part   BIGINT NOT NULL,
  record BYTEA  NOT NULL
);

-- Otherwise PostgreSQL would compress each record, which costs a quarter of a commit.
--postgresql ALTER TABLE journal ALTER COLUMN record SET STORAGE EXTERNAL;

-- The fold of the journal, for each writer.
CREATE TABLE IF NOT EXISTS balance (
  writer  BIGINT NOT NULL,
  account TEXT   COLLATE "C" NOT NULL,
  asset   TEXT   COLLATE "C" NOT NULL,
  debit   NUMERIC(39, 18) NOT NULL CHECK (debit <= 170141183460469231731.687303715884105727),
  credit  NUMERIC(39, 18) NOT NULL CHECK (credit <= 170141183460469231731.687303715884105727),
  PRIMARY KEY (writer, account, asset)
);

CREATE OR REPLACE VIEW posted AS
SELECT writer.id AS writer, writer.name AS name, balance.account AS account, balance.asset AS asset, balance.debit AS debit, balance.credit AS credit
FROM writer JOIN balance ON balance.writer = writer.id;
