-- The key that signs the logs of the streams, so that no second folder begins
-- other logs; no row until it is recorded.

CREATE TABLE IF NOT EXISTS signer (
  one     BIGINT PRIMARY KEY CHECK (one = 1),
  log_key TEXT   COLLATE "C" NOT NULL          -- the public key, as a C2SP verifier key
);
