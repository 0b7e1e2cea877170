-- What a settler keeps in addition to the ledger. Everything here is a function of
-- USAGE and CONTROL up to the cursor, and is committed together with it.

CREATE TABLE cursor (
  partition INTEGER PRIMARY KEY,
  stream    TEXT    NOT NULL,
  created   INTEGER NOT NULL,  -- when the stream was created, nanoseconds since 1970: another stream of the same name is another stream
  position  INTEGER NOT NULL,  -- last position settled
  hash      BLOB    NOT NULL,  -- SHA-256 of the message there; empty before the first
  control   INTEGER NOT NULL,  -- CONTROL position in effect
  batches   INTEGER NOT NULL,  -- batch messages settled
  epoch     INTEGER NOT NULL,  -- grows by one with each settler that takes over
  nonce     TEXT    NOT NULL   -- of that settler
) STRICT;

-- Outcomes by handle: one row for each batch message, run-length encoded over its
-- events in order (settlement.AppendRuns defines the bytes).
CREATE TABLE outcome (
  partition INTEGER NOT NULL,
  position  INTEGER NOT NULL,
  events    INTEGER NOT NULL,
  runs      BLOB    NOT NULL,
  PRIMARY KEY (partition, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
  book    TEXT    NOT NULL,
  node    TEXT    NOT NULL,  -- empty: not a declared node
  period  TEXT    NOT NULL,  -- the event's own
  outcome INTEGER NOT NULL,  -- events.Outcome
  reason  TEXT    NOT NULL,  -- events.Reason of a refusal
  events  INTEGER NOT NULL,
  PRIMARY KEY (book, node, period, outcome, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE source (
  id       INTEGER PRIMARY KEY,
  provider TEXT    NOT NULL,
  source   TEXT    NOT NULL,
  epoch    INTEGER NOT NULL,
  UNIQUE (provider, source, epoch)
) STRICT;

-- The sequences of a source that were accepted, as disjoint intervals that do
-- not touch. Sequences are stored with the sign bit inverted, so that SQLite's
-- signed order is their unsigned order.
CREATE TABLE span (
  source INTEGER NOT NULL,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  PRIMARY KEY (source, first)
) STRICT, WITHOUT ROWID;

-- Where the original of an accepted sequence is: the message, its segment, and
-- the first event in the segment.
CREATE TABLE original (
  source   INTEGER NOT NULL,
  first    INTEGER NOT NULL,
  last     INTEGER NOT NULL,
  position INTEGER NOT NULL,
  segment  INTEGER NOT NULL,
  ordinal  INTEGER NOT NULL,
  PRIMARY KEY (source, first)
) STRICT, WITHOUT ROWID;

-- Quantities that wait for a price.
CREATE TABLE suspense (
  book     TEXT    NOT NULL,
  node     TEXT    NOT NULL,
  customer TEXT    NOT NULL,
  meter    TEXT    NOT NULL,
  card     TEXT    NOT NULL,  -- card@version
  rule     INTEGER NOT NULL,
  pair     TEXT    NOT NULL,
  period   TEXT    NOT NULL,  -- the events' own
  quantity BLOB    NOT NULL,  -- billed: after granularity
  events   INTEGER NOT NULL,
  PRIMARY KEY (book, node, customer, meter, card, rule, pair, period)
) STRICT, WITHOUT ROWID;

-- Who owes something for which period, by number; the row is removed when nothing is owed.
CREATE TABLE debtor (
  id       INTEGER PRIMARY KEY,
  customer INTEGER NOT NULL,  -- the account of its receivable
  period   TEXT    NOT NULL,  -- of the charges
  UNIQUE (customer, period)
) STRICT;

-- Charges that are not collected yet, for 64 nodes in each row: id is the debtor ×
-- 2^32 + the account of the node's earnings / 64, as numbered in account. For each
-- node with a debt, lines has the remainder of that division plus one, as a byte,
-- and the amount, ascending. With one row for each node a commit would write forty
-- times as many rows.
CREATE TABLE outstanding (
  id    INTEGER PRIMARY KEY,
  book  TEXT NOT NULL,
  asset TEXT NOT NULL,
  lines BLOB NOT NULL
) STRICT;

-- The same with one row for each node, with names.
CREATE VIEW owed AS
WITH RECURSIVE line(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM line WHERE i < 63)
SELECT o.book AS book,
  substr(c.name, 10, length(c.name) - 20) AS customer,
  o.asset AS asset,
  d.period AS period,
  substr(n.name, 6, length(n.name) - 12) AS node,
  substr(o.lines, line.i * 17 + 2, 16) AS amount
FROM outstanding AS o CROSS JOIN debtor AS d CROSS JOIN account AS c CROSS JOIN line CROSS JOIN account AS n
WHERE d.id = (o.id >> 32) AND c.id = d.customer AND line.i * 17 < length(o.lines)
AND n.id = (((o.id & 4294967295) << 6) | (unicode(CAST(substr(o.lines, line.i * 17 + 1, 1) AS TEXT)) - 1));

-- What was collected and not handed over yet; the row is removed when it is.
CREATE TABLE collected (
  partition INTEGER NOT NULL,
  book      TEXT    NOT NULL,
  period    TEXT    NOT NULL,  -- of the charges
  node      TEXT    NOT NULL,
  asset     TEXT    NOT NULL,
  amount    BLOB    NOT NULL,
  PRIMARY KEY (partition, book, period, node, asset)
) STRICT, WITHOUT ROWID;

-- Decisions without effect.
CREATE TABLE void (
  partition INTEGER NOT NULL,
  control   INTEGER NOT NULL,
  reason    TEXT    NOT NULL,
  PRIMARY KEY (partition, control)
) STRICT, WITHOUT ROWID;
