-- Whose key signs the logs of the streams, so that no second folder begins
-- others; no row until it is told.

CREATE TABLE IF NOT EXISTS signer (
  one     BIGINT PRIMARY KEY CHECK (one = 1),
  log_key TEXT   COLLATE "C" NOT NULL          -- the public key, as a C2SP verifier key
);
