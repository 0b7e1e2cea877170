-- What a distributor keeps in addition to the ledger. Everything here is a function of
-- CONTROL, LEDGER and REGISTER up to the cursor, and is committed together with
-- it. The key of a distribution is the CONTROL position of its declaration, so
-- that its rows are adjacent and are written in the order of their key.

CREATE TABLE distribute_cursor (
  one             INTEGER PRIMARY KEY CHECK (one = 1),
  control_created INTEGER NOT NULL,  -- of the stream, nanoseconds since 1970; 0: not known yet
  control         INTEGER NOT NULL,  -- last position
  control_hash    BLOB    NOT NULL,  -- SHA-256 of the message there
  ledger_created  INTEGER NOT NULL,
  ledger          INTEGER NOT NULL,
  ledger_hash     BLOB    NOT NULL,
  epoch           INTEGER NOT NULL,  -- grows by one with each distributor that takes over
  nonce           TEXT    NOT NULL   -- of that distributor
) STRICT;

-- Revenue that reached a token's inbox, by its LEDGER position and the period of
-- the charges.
CREATE TABLE handover (
  token    TEXT    NOT NULL,
  asset    TEXT    NOT NULL,
  position INTEGER NOT NULL,
  period   TEXT    NOT NULL,
  amount   BLOB    NOT NULL,
  PRIMARY KEY (token, asset, position, period)
) STRICT, WITHOUT ROWID;

-- The first LEDGER position that says that a period is settled.
CREATE TABLE settled_period (
  book     TEXT    NOT NULL,
  period   TEXT    NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (book, period)
) STRICT, WITHOUT ROWID;

CREATE TABLE distribution (
  control     INTEGER PRIMARY KEY,
  id          TEXT    NOT NULL UNIQUE,
  token       TEXT    NOT NULL,
  book        TEXT    NOT NULL,
  period      TEXT    NOT NULL,
  ledger      INTEGER NOT NULL,
  register    INTEGER NOT NULL,
  record_date TEXT    NOT NULL,  -- RFC 3339, UTC
  rail        TEXT    NOT NULL,
  holders     INTEGER NOT NULL,
  supply      BLOB    NOT NULL   -- money.Units.Bytes
) STRICT;

CREATE TABLE pool (
  distribution INTEGER NOT NULL,
  asset        TEXT    NOT NULL,
  inbox        BLOB    NOT NULL,
  basis_points INTEGER NOT NULL,
  fee          BLOB    NOT NULL,
  pool         BLOB    NOT NULL,
  held         BLOB    NOT NULL,
  payouts      INTEGER NOT NULL,
  planned      BLOB    NOT NULL,
  PRIMARY KEY (distribution, asset)
) STRICT, WITHOUT ROWID;

-- Together also the register at the record date.
CREATE TABLE share (
  distribution INTEGER NOT NULL,
  asset        TEXT    NOT NULL,
  holder       TEXT    NOT NULL,
  units        BLOB    NOT NULL,
  frozen       BLOB,             -- null: none
  amount       BLOB    NOT NULL,
  held         BLOB,             -- null: none
  PRIMARY KEY (distribution, asset, holder)
) STRICT, WITHOUT ROWID;

-- What is owed and was not paid out. A holder who is owed nothing has no row.
CREATE TABLE entitlement (
  token   TEXT NOT NULL,
  asset   TEXT NOT NULL,
  holder  TEXT NOT NULL,
  payable BLOB NOT NULL,
  held    BLOB NOT NULL,
  PRIMARY KEY (token, asset, holder)
) STRICT, WITHOUT ROWID;

CREATE TABLE payout (
  distribution INTEGER NOT NULL,
  id           TEXT    NOT NULL,
  asset        TEXT    NOT NULL,
  holder       TEXT    NOT NULL,
  amount       BLOB    NOT NULL,
  state        TEXT    NOT NULL,
  reference    TEXT    NOT NULL,
  PRIMARY KEY (distribution, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
  name         TEXT    PRIMARY KEY,
  rail         TEXT    NOT NULL,
  distribution INTEGER NOT NULL,
  control      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Decisions without effect, and the parts of others that had none.
CREATE TABLE distribute_void (
  control INTEGER PRIMARY KEY,
  partly  INTEGER NOT NULL,
  reason  TEXT    NOT NULL
) STRICT;

-- The messages for PAYOUT, in order: rows of the journal by their number, and
-- messages that are stored only here.
CREATE TABLE payout_message (
  number  INTEGER PRIMARY KEY,  -- 1, 2, … without gaps; writer.relayed counts these
  token   TEXT    NOT NULL,
  journal INTEGER,              -- journal row of the writer, or null
  data    BLOB                  -- null unless journal is null
) STRICT;
