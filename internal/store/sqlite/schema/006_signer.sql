-- The key that signs the logs of the streams, so that no second folder begins
-- other logs; no row until it is recorded.
CREATE TABLE signer (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  log_key TEXT NOT NULL
) STRICT;
