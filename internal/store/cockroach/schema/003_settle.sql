-- What settlers keep, beside the ledger. Everything here is a function of USAGE
-- and CONTROL up to the cursors, and is committed together with them.

CREATE TABLE cursor (
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

CREATE TABLE outcome (
  partition BIGINT NOT NULL,
  position  BIGINT NOT NULL,
  events    BIGINT NOT NULL,
  runs      BYTEA  NOT NULL,
  PRIMARY KEY (partition, position)
);

CREATE TABLE tally (
  book    TEXT   COLLATE "C" NOT NULL,
  node    TEXT   COLLATE "C" NOT NULL,  -- empty: not a declared node
  period  TEXT   COLLATE "C" NOT NULL,
  outcome BIGINT NOT NULL,
  reason  TEXT   COLLATE "C" NOT NULL,
  events  BIGINT NOT NULL,
  PRIMARY KEY (book, node, period, outcome, reason)
);

-- id = (partition + 1) × 2^40 + 1, 2, …: each settler numbers its own.
CREATE TABLE source (
  id        BIGINT PRIMARY KEY,
  partition BIGINT NOT NULL,
  provider  TEXT   COLLATE "C" NOT NULL,
  source    TEXT   COLLATE "C" NOT NULL,
  epoch     BIGINT NOT NULL,
  UNIQUE (partition, provider, source, epoch)
);

-- The sequences of a source that were accepted, as disjoint intervals that do
-- not touch. Sequences are stored with the sign bit inverted, so that signed
-- order is theirs.
CREATE TABLE span (
  source BIGINT NOT NULL,
  first  BIGINT NOT NULL,
  last   BIGINT NOT NULL,
  PRIMARY KEY (source, first)
);

-- Where the original of an accepted sequence is.
CREATE TABLE original (
  source   BIGINT NOT NULL,
  first    BIGINT NOT NULL,
  last     BIGINT NOT NULL,
  position BIGINT NOT NULL,
  segment  BIGINT NOT NULL,
  ordinal  BIGINT NOT NULL,
  PRIMARY KEY (source, first)
);

-- Quantities that wait for a price.
CREATE TABLE suspense (
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
  amount    NUMERIC(39, 18) NOT NULL,
  per       NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (partition, book, node, customer, meter, card, rule, pair, period)
);

-- Charges not yet collected. A customer has one book, and that one asset.
CREATE TABLE outstanding (
  partition BIGINT NOT NULL,
  customer  TEXT   COLLATE "C" NOT NULL,
  node      TEXT   COLLATE "C" NOT NULL,
  book      TEXT   COLLATE "C" NOT NULL,
  asset     TEXT   COLLATE "C" NOT NULL,
  amount    NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (partition, customer, node)
);

CREATE VIEW owed AS SELECT book, customer, asset, node, amount FROM outstanding;

CREATE TABLE void (
  partition BIGINT NOT NULL,
  control   BIGINT NOT NULL,
  reason    TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (partition, control)
);
