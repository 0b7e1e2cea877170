-- Whose key signs the logs of the streams, so that no second folder begins
-- others; no row until it is told.
CREATE TABLE signer (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  log_key TEXT NOT NULL
) STRICT;
