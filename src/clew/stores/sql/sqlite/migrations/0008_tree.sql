-- One Merkle tree (RFC 6962) over all runs of the store, which only grows: its leaves, the nodes that proofs need, and
-- where it stands. A leaf is due with the record that it is about, and gets its place in the tree a little later.

CREATE TABLE leaves_due (
  position INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  kind TEXT NOT NULL,                         -- open: the run was created; close: it has settled
  entry_count INTEGER NOT NULL,
  head TEXT NOT NULL
) STRICT;

CREATE TABLE leaves (
  leaf_index INTEGER NOT NULL PRIMARY KEY,    -- from 0, without gaps
  run_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  entry_count INTEGER NOT NULL,               -- how many entries the run's journal had
  head TEXT NOT NULL                          -- the hash of the last of them
) STRICT;

CREATE INDEX leaves_by_run ON leaves (run_id);

CREATE TABLE tree_nodes (
  level INTEGER NOT NULL,                     -- every eighth; leaves are at 0
  node_index INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE tree (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  origin TEXT NOT NULL,                       -- which tree this is, in every checkpoint of it
  size INTEGER NOT NULL,
  peaks BLOB NOT NULL,                        -- the hashes of its largest complete subtrees, from left to right
  signed_size INTEGER NOT NULL,               -- of what was signed last, kept before the signature is let out
  signed_root BLOB NOT NULL,
  note TEXT NOT NULL                          -- the last signed checkpoint; empty: none yet
) STRICT;

INSERT INTO tree VALUES (1, 'clew/' || lower(hex(randomblob(8))), 0, x'', 0, x'', '');

INSERT INTO leaves_due (run_id, kind, entry_count, head)
SELECT run_id, 'open', entry_count, head FROM runs ORDER BY launched_at, run_id;

INSERT INTO leaves_due (run_id, kind, entry_count, head)
SELECT run_id, 'close', entry_count, head FROM runs
WHERE status IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped') ORDER BY ended_at, run_id;
