-- The run status tracker (programs, runs, stages), the plan's chain, the journal and the payloads.
-- Moments are integers: milliseconds since 1970-01-01T00:00:00Z. Every table may be read by anyone with SQL;
-- only clew writes them, each run's rows in one transaction with its journal.

CREATE TABLE programs (
  version TEXT NOT NULL PRIMARY KEY,          -- SHA-256 of the canonical content, lowercase hex
  name TEXT NOT NULL,
  content TEXT NOT NULL,                      -- the program itself, canonical JSON
  registered_at INTEGER NOT NULL
) STRICT;

CREATE TABLE plan_blocks (
  version TEXT NOT NULL REFERENCES programs,
  block_index INTEGER NOT NULL CHECK (block_index >= 1),
  content TEXT NOT NULL,                      -- canonical JSON, the very bytes that were hashed
  hash TEXT NOT NULL CHECK (length(hash) = 64),
  PRIMARY KEY (version, block_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  run_id TEXT NOT NULL PRIMARY KEY,
  program TEXT NOT NULL,
  version TEXT NOT NULL REFERENCES programs,
  run_name TEXT NOT NULL,
  run_time INTEGER NOT NULL,                  -- the scheduled time, or the request's
  launched_at INTEGER NOT NULL,
  ended_at INTEGER,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'held', 'rolling_back',
    'rollback_failed', 'completed', 'failed', 'rolled_back', 'missed', 'skipped')),
  cause TEXT NOT NULL DEFAULT '',             -- beside the status: failure, expired, cancelled, requested
  requested_by TEXT NOT NULL,
  generation INTEGER NOT NULL,
  residue TEXT NOT NULL DEFAULT '[]',         -- JSON: what is, or may be, still standing
  epoch INTEGER NOT NULL,                     -- the fencing number: only its holder can record
  entry_count INTEGER NOT NULL,
  head TEXT NOT NULL,                         -- hash of the journal's last entry
  origin TEXT NOT NULL,                       -- JSON: folder of the program's code, buckets given by the request
  UNIQUE (program, run_name),
  UNIQUE (program, run_time, generation)
) STRICT;

CREATE INDEX runs_unsettled ON runs (launched_at)
  WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');

CREATE INDEX runs_by_launch ON runs (launched_at);

CREATE TABLE stages (
  run_id TEXT NOT NULL REFERENCES runs,
  position INTEGER NOT NULL,                  -- in the order of the plan, from 0
  name TEXT NOT NULL,
  block INTEGER NOT NULL,
  status TEXT NOT NULL,                       -- pending, waiting, started, validating, completed, failed,
                                              -- rolling_back, rolled_back, rollback_failed, skipped, cancelled;
                                              -- no CHECK: it would double what an update costs, twice a stage
  attempts INTEGER NOT NULL DEFAULT 0,
  outcome TEXT NOT NULL DEFAULT '',           -- how the last attempt ended
  error_kind TEXT NOT NULL DEFAULT '',
  rollback_attempts INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  ended_at INTEGER,
  result_seq INTEGER,                         -- the journal entry whose payload holds its result and outputs
  PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
  run_id TEXT NOT NULL REFERENCES runs,
  seq INTEGER NOT NULL,
  content TEXT NOT NULL,                      -- canonical JSON, the very bytes that were hashed
  hash TEXT NOT NULL,                         -- lowercase hex SHA-256
  PRIMARY KEY (run_id, seq)
) STRICT;                                     -- with rowids: what many runs write together lies together

CREATE TABLE payloads (
  run_id TEXT NOT NULL REFERENCES runs,
  seq INTEGER NOT NULL,                       -- of the entry that names it by digest
  salt BLOB NOT NULL,
  content TEXT,                               -- JSON; NULL when it stands at `location`
  location TEXT,
  PRIMARY KEY (run_id, seq)
) STRICT;

-- What a person asks first: who ran what, when, and what came of it.
CREATE VIEW run_status_tracker AS
SELECT r.program, r.run_name, r.run_id, r.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.run_time / 1000.0, 'unixepoch') AS scheduled_time,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.launched_at / 1000.0, 'unixepoch') AS launch_time,
       r.status AS run_status, r.cause, s.name AS stage, s.block, s.status AS stage_status, s.attempts,
       s.outcome, s.error_kind,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.ended_at / 1000.0, 'unixepoch') AS ended_at,
       p.content AS result
FROM runs r
JOIN stages s ON s.run_id = r.run_id
LEFT JOIN payloads p ON p.run_id = s.run_id AND p.seq = s.result_seq;

-- The journal, a column for each field that every entry has.
CREATE VIEW journal_entries AS
SELECT run_id, seq, json_extract(content, '$.body.kind') AS kind, json_extract(content, '$.body.stage') AS stage,
       strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(content, '$.at') / 1000.0, 'unixepoch') AS at,
       json_extract(content, '$.epoch') AS epoch, json_extract(content, '$.body') AS body, hash
FROM journal;

-- The variables map: every name that was written in a run, by which stage, with its value. As it stood at a
-- stage: the rows with a smaller seq than that stage's first attempt.
CREATE VIEW variables AS
SELECT p.run_id, p.seq, coalesce(json_extract(j.content, '$.body.stage'), '') AS stage, v.key AS name,
       v.type AS kind, v.value
FROM payloads p
JOIN journal j ON j.run_id = p.run_id AND j.seq = p.seq
JOIN json_each(p.content, '$.variables') v
WHERE p.content IS NOT NULL;
