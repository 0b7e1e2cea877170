-- What settlers keep in addition to the ledger. Everything here is a function of USAGE
-- and CONTROL up to the cursors, and is committed together with them.

CREATE TABLE IF NOT EXISTS cursor (
  partition BIGINT PRIMARY KEY,
  stream    TEXT   COLLATE "C" NOT NULL,
  created   BIGINT NOT NULL,            -- when the stream was created, nanoseconds since 1970
  position  BIGINT NOT NULL,            -- last position settled
  hash      BYTEA  NOT NULL,            -- SHA-256 of the message there; empty before the first
  control   BIGINT NOT NULL,            -- CONTROL position in effect
  batches   BIGINT NOT NULL,            -- batch messages settled
  epoch     BIGINT NOT NULL,            -- grows by one with each settler that takes over
  nonce     TEXT   COLLATE "C" NOT NULL -- of that settler
);

CREATE TABLE IF NOT EXISTS outcome (
  partition BIGINT NOT NULL,
  position  BIGINT NOT NULL,
  events    BIGINT NOT NULL,
  runs      BYTEA  NOT NULL,
  PRIMARY KEY (partition, position)
);

CREATE TABLE IF NOT EXISTS tally (
  book    TEXT   COLLATE "C" NOT NULL,
  node    TEXT   COLLATE "C" NOT NULL,  -- empty: not a declared node
  period  TEXT   COLLATE "C" NOT NULL,
  outcome BIGINT NOT NULL,
  reason  TEXT   COLLATE "C" NOT NULL,
  events  BIGINT NOT NULL,
  PRIMARY KEY (book, node, period, outcome, reason)
);

-- id = (partition + 1) × 2^40 + 1, 2, …: each settler numbers its own.
CREATE TABLE IF NOT EXISTS source (
  id        BIGINT PRIMARY KEY,
  partition BIGINT NOT NULL,
  provider  TEXT   COLLATE "C" NOT NULL,
  source    TEXT   COLLATE "C" NOT NULL,
  epoch     BIGINT NOT NULL,
  UNIQUE (partition, provider, source, epoch)
);

-- The sequences of a source that were accepted, as disjoint intervals that do
-- not touch. Sequences are stored with the sign bit inverted, so that the signed
-- order of the database is their unsigned order.
CREATE TABLE IF NOT EXISTS span (
  source BIGINT NOT NULL,
  first  BIGINT NOT NULL,
  last   BIGINT NOT NULL,
  PRIMARY KEY (source, first)
);

-- Where the original of an accepted sequence is.
CREATE TABLE IF NOT EXISTS original (
  source   BIGINT NOT NULL,
  first    BIGINT NOT NULL,
  last     BIGINT NOT NULL,
  position BIGINT NOT NULL,
  segment  BIGINT NOT NULL,
  ordinal  BIGINT NOT NULL,
  PRIMARY KEY (source, first)
);

-- Quantities that wait for a price.
CREATE TABLE IF NOT EXISTS suspense (
  partition BIGINT NOT NULL,
  book      TEXT   COLLATE "C" NOT NULL,
  node      TEXT   COLLATE "C" NOT NULL,
  customer  TEXT   COLLATE "C" NOT NULL,
  meter     TEXT   COLLATE "C" NOT NULL,
  card      TEXT   COLLATE "C" NOT NULL,
  rule      BIGINT NOT NULL,
  pair      TEXT   COLLATE "C" NOT NULL,
  period    TEXT   COLLATE "C" NOT NULL,
  quantity  NUMERIC(39, 18) NOT NULL,
  events    BIGINT NOT NULL,
  PRIMARY KEY (partition, book, node, customer, meter, card, rule, pair, period)
);

-- The numbers of nodes for which something was owed: 0, 1, … in each partition.
CREATE TABLE IF NOT EXISTS node (
  partition BIGINT NOT NULL,
  number    BIGINT NOT NULL,
  name      TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (partition, number)
);

-- Charges of a period that are not collected yet, for 64 nodes in each row: nodes
-- is their number / 64. For each node with a debt, lines has the remainder of that
-- division plus one, as a byte, and the 16 bytes of the amount
-- (money.Amount.Bytes), ascending. With one row for each node a commit would write
-- forty times as many rows. A customer has one book, and a book has one asset.
CREATE TABLE IF NOT EXISTS outstanding (
  partition BIGINT NOT NULL,
  customer  TEXT   COLLATE "C" NOT NULL,
  period    TEXT   COLLATE "C" NOT NULL,  -- of the charges
  nodes     BIGINT NOT NULL,
  book      TEXT   COLLATE "C" NOT NULL,
  asset     TEXT   COLLATE "C" NOT NULL,
  lines     BYTEA  NOT NULL,
  PRIMARY KEY (partition, customer, period, nodes)
);

-- The same with one row for each node, with names, and amounts as numbers: the
-- first eight bytes of an amount are a signed number with its sign bit inverted,
-- the others are unsigned. The view does not divide, because in CockroachDB
-- dividing two integers gives a DECIMAL.
CREATE OR REPLACE VIEW owed AS
SELECT o.book AS book, o.customer AS customer, o.asset AS asset, o.period AS period, node.name AS node, ((
    ((get_byte(o.lines, i.place + 1)::INT8 - 128) * 72057594037927936
      + get_byte(o.lines, i.place + 2)::INT8 * 281474976710656 + get_byte(o.lines, i.place + 3)::INT8 * 1099511627776
      + get_byte(o.lines, i.place + 4)::INT8 * 4294967296 + get_byte(o.lines, i.place + 5)::INT8 * 16777216
      + get_byte(o.lines, i.place + 6)::INT8 * 65536 + get_byte(o.lines, i.place + 7)::INT8 * 256
      + get_byte(o.lines, i.place + 8)::INT8)::NUMERIC * 18446744073709551616
    + (get_byte(o.lines, i.place + 9)::INT8 * 16777216 + get_byte(o.lines, i.place + 10)::INT8 * 65536
      + get_byte(o.lines, i.place + 11)::INT8 * 256 + get_byte(o.lines, i.place + 12)::INT8)::NUMERIC * 4294967296
    + (get_byte(o.lines, i.place + 13)::INT8 * 16777216 + get_byte(o.lines, i.place + 14)::INT8 * 65536
      + get_byte(o.lines, i.place + 15)::INT8 * 256 + get_byte(o.lines, i.place + 16)::INT8)::NUMERIC
  ) * 0.000000000000000001)::NUMERIC(39, 18) AS amount
FROM outstanding AS o CROSS JOIN LATERAL generate_series(0, length(o.lines) - 1, 17) AS i (place)
JOIN node ON node.partition = o.partition AND node.number = o.nodes * 64 + get_byte(o.lines, i.place) - 1;

-- What was collected and not handed over yet; the row is removed when it is.
CREATE TABLE IF NOT EXISTS collected (
  partition BIGINT NOT NULL,
  book      TEXT   COLLATE "C" NOT NULL,
  period    TEXT   COLLATE "C" NOT NULL,  -- of the charges
  node      TEXT   COLLATE "C" NOT NULL,
  asset     TEXT   COLLATE "C" NOT NULL,
  amount    NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (partition, book, period, node, asset)
);

CREATE TABLE IF NOT EXISTS void (
  partition BIGINT NOT NULL,
  control   BIGINT NOT NULL,
  reason    TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (partition, control)
);
