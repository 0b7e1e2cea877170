-- Several partitions in one store: each has its own sources, suspense and debts.
-- Before this step there was only partition 0.

CREATE TABLE numbered (
  id        INTEGER PRIMARY KEY,
  partition INTEGER NOT NULL,
  provider  TEXT    NOT NULL,
  source    TEXT    NOT NULL,
  epoch     INTEGER NOT NULL,
  UNIQUE (partition, provider, source, epoch)
) STRICT;
INSERT INTO numbered SELECT id, 0, provider, source, epoch FROM source;
DROP TABLE source;
ALTER TABLE numbered RENAME TO source;

ALTER TABLE suspense ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outstanding ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;

-- The installation to which the store belongs; no row until it is recorded.
CREATE TABLE installation (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  name TEXT NOT NULL
) STRICT;
