-- What the distributor keeps in addition to the ledger. Everything here is a function of
-- CONTROL, LEDGER and REGISTER up to the cursor, and is committed together with
-- it. The key of a distribution is the CONTROL position of its declaration.

CREATE TABLE IF NOT EXISTS distribute_cursor (
  one             BIGINT PRIMARY KEY CHECK (one = 1),
  control_created BIGINT NOT NULL,
  control         BIGINT NOT NULL,
  control_hash    BYTEA  NOT NULL,
  ledger_created  BIGINT NOT NULL,
  ledger          BIGINT NOT NULL,
  ledger_hash     BYTEA  NOT NULL,
  epoch           BIGINT NOT NULL,
  nonce           TEXT   COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS handover (
  token    TEXT   COLLATE "C" NOT NULL,
  asset    TEXT   COLLATE "C" NOT NULL,
  position BIGINT NOT NULL,
  period   TEXT   COLLATE "C" NOT NULL,  -- of the charges
  amount   NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (token, asset, position, period)
);

CREATE TABLE IF NOT EXISTS settled_period (
  book     TEXT   COLLATE "C" NOT NULL,
  period   TEXT   COLLATE "C" NOT NULL,
  position BIGINT NOT NULL,
  PRIMARY KEY (book, period)
);

-- Units are whole numbers of at most 2^128 - 1.
CREATE TABLE IF NOT EXISTS distribution (
  control     BIGINT PRIMARY KEY,
  id          TEXT   COLLATE "C" NOT NULL UNIQUE,
  token       TEXT   COLLATE "C" NOT NULL,
  book        TEXT   COLLATE "C" NOT NULL,
  period      TEXT   COLLATE "C" NOT NULL,
  ledger      BIGINT NOT NULL,
  register    BIGINT NOT NULL,
  record_date TEXT   COLLATE "C" NOT NULL,  -- RFC 3339, UTC
  rail        TEXT   COLLATE "C" NOT NULL,
  holders     BIGINT NOT NULL,
  supply      NUMERIC(39, 0) NOT NULL
);

CREATE TABLE IF NOT EXISTS pool (
  distribution BIGINT NOT NULL,
  asset        TEXT   COLLATE "C" NOT NULL,
  inbox        NUMERIC(39, 18) NOT NULL,
  basis_points BIGINT NOT NULL,
  fee          NUMERIC(39, 18) NOT NULL,
  pool         NUMERIC(39, 18) NOT NULL,
  held         NUMERIC(39, 18) NOT NULL,
  payouts      BIGINT NOT NULL,
  planned      NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (distribution, asset)
);

CREATE TABLE IF NOT EXISTS share (
  distribution BIGINT NOT NULL,
  asset        TEXT   COLLATE "C" NOT NULL,
  holder       TEXT   COLLATE "C" NOT NULL,
  units        NUMERIC(39, 0) NOT NULL,
  frozen       NUMERIC(39, 0),               -- null: none
  amount       NUMERIC(39, 18) NOT NULL,
  held         NUMERIC(39, 18),              -- null: none
  PRIMARY KEY (distribution, asset, holder)
);

CREATE TABLE IF NOT EXISTS entitlement (
  token   TEXT COLLATE "C" NOT NULL,
  asset   TEXT COLLATE "C" NOT NULL,
  holder  TEXT COLLATE "C" NOT NULL,
  payable NUMERIC(39, 18) NOT NULL,
  held    NUMERIC(39, 18) NOT NULL,
  PRIMARY KEY (token, asset, holder)
);

CREATE TABLE IF NOT EXISTS payout (
  distribution BIGINT NOT NULL,
  id           TEXT   COLLATE "C" NOT NULL,
  asset        TEXT   COLLATE "C" NOT NULL,
  holder       TEXT   COLLATE "C" NOT NULL,
  amount       NUMERIC(39, 18) NOT NULL,
  state        TEXT   COLLATE "C" NOT NULL,
  reference    TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (distribution, id)
);

CREATE TABLE IF NOT EXISTS batch (
  name         TEXT   COLLATE "C" PRIMARY KEY,
  rail         TEXT   COLLATE "C" NOT NULL,
  distribution BIGINT NOT NULL,
  control      BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS distribute_void (
  control BIGINT PRIMARY KEY,
  partly  BIGINT NOT NULL,
  reason  TEXT   COLLATE "C" NOT NULL
);

-- The messages for PAYOUT, in order: rows of the journal by their number, and
-- messages that are stored only here.
CREATE TABLE IF NOT EXISTS payout_message (
  number  BIGINT PRIMARY KEY,  -- 1, 2, … without gaps
  token   TEXT   COLLATE "C" NOT NULL,
  journal BIGINT,              -- journal row of the writer, or null
  data    BYTEA                -- null unless journal is null
);
