-- Marks the database as one of aliquot's, with its version.

CREATE TABLE IF NOT EXISTS aliquot (
  one          BIGINT PRIMARY KEY CHECK (one = 1),
  version      BIGINT NOT NULL,                     -- steps of this folder that were applied
  installation TEXT   COLLATE "C" NOT NULL          -- to which it belongs; empty until it is recorded
);

INSERT INTO aliquot (one, version, installation) VALUES (1, 0, '') ON CONFLICT (one) DO NOTHING;
