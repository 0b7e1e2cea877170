-- The mark by which a database is known as ours, and what it has come to.

CREATE TABLE IF NOT EXISTS aliquot (
  one          BIGINT PRIMARY KEY CHECK (one = 1),
  version      BIGINT NOT NULL,                     -- steps of this folder that were applied
  installation TEXT   COLLATE "C" NOT NULL          -- whose it is; empty until it is told
);

INSERT INTO aliquot (one, version, installation) VALUES (1, 0, '') ON CONFLICT (one) DO NOTHING;
