-- One Merkle tree (RFC 6962) over all runs of the store, which only grows: its leaves, the nodes that proofs need, and
-- where it stands. A leaf is due with the record that it is about, and gets its place in the tree a little later.

CREATE TABLE leaves_due (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,                         -- open: the run was created; close: it has settled
  entry_count bigint NOT NULL,
  head text NOT NULL
);

CREATE TABLE leaves (
  leaf_index bigint NOT NULL PRIMARY KEY,     -- from 0, without gaps
  run_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  entry_count bigint NOT NULL,                -- how many entries the run's journal had
  head text NOT NULL                          -- the hash of the last of them
);

CREATE INDEX leaves_by_run ON leaves (run_id);

CREATE TABLE tree_nodes (
  level integer NOT NULL,                     -- every eighth; leaves are at 0
  node_index bigint NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (level, node_index)
);

CREATE TABLE tree (
  id integer NOT NULL PRIMARY KEY CHECK (id = 1),
  origin text NOT NULL,                       -- which tree this is, in every checkpoint of it
  size bigint NOT NULL,
  peaks bytea NOT NULL,                       -- the hashes of its largest complete subtrees, from left to right
  signed_size bigint NOT NULL,                -- of what was signed last, kept before the signature is let out
  signed_root bytea NOT NULL,
  note text NOT NULL                          -- the last signed checkpoint; empty: none yet
);

INSERT INTO tree
VALUES (1, 'clew/' || left(replace(gen_random_uuid()::text, '-', ''), 16), 0, '', 0, '', '');

INSERT INTO leaves_due (run_id, kind, entry_count, head)
SELECT run_id, 'open', entry_count, head FROM runs ORDER BY launched_at, run_id;

INSERT INTO leaves_due (run_id, kind, entry_count, head)
SELECT run_id, 'close', entry_count, head FROM runs
WHERE status IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped') ORDER BY ended_at, run_id;
