-- Made of the migrations by tools/write_schema.py, for a new file.

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
  origin TEXT NOT NULL, backfill TEXT NOT NULL DEFAULT '', follows TEXT NOT NULL DEFAULT '', is_due INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', needs_place INTEGER NOT NULL DEFAULT 0, erased_at INTEGER, removed_at INTEGER, archive TEXT NOT NULL DEFAULT '',                       -- JSON: folder of the program's code, buckets given by the request
  UNIQUE (program, run_name),
  UNIQUE (program, run_time, generation)
) STRICT;

CREATE INDEX runs_by_launch ON runs (launched_at);

CREATE TABLE journal (
  run_id TEXT NOT NULL REFERENCES runs,
  seq INTEGER NOT NULL,
  content TEXT NOT NULL,                      -- canonical JSON, the very bytes that were hashed
  hash TEXT NOT NULL,                         -- lowercase hex SHA-256
  PRIMARY KEY (run_id, seq)
) STRICT;

CREATE TABLE payloads (
  run_id TEXT NOT NULL REFERENCES runs,
  seq INTEGER NOT NULL,                       -- of the entry that names it by digest
  salt BLOB NOT NULL,
  content TEXT,                               -- JSON; NULL when it stands at `location`
  location TEXT,
  PRIMARY KEY (run_id, seq)
) STRICT;

CREATE VIEW journal_entries AS
SELECT run_id, seq, json_extract(content, '$.body.kind') AS kind, json_extract(content, '$.body.stage') AS stage,
       strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(content, '$.at') / 1000.0, 'unixepoch') AS at,
       json_extract(content, '$.epoch') AS epoch, json_extract(content, '$.body') AS body, hash
FROM journal;

CREATE VIEW variables AS
SELECT p.run_id, p.seq, coalesce(json_extract(j.content, '$.body.stage'), '') AS stage, v.key AS name,
       v.type AS kind, v.value
FROM payloads p
JOIN journal j ON j.run_id = p.run_id AND j.seq = p.seq
JOIN json_each(p.content, '$.variables') v
WHERE p.content IS NOT NULL;

CREATE TABLE "stages" (
  run_id TEXT NOT NULL REFERENCES runs,
  position INTEGER NOT NULL,                  -- in the order of the plan, from 0
  item INTEGER NOT NULL DEFAULT -1,           -- of a stage that is done for each of several values, from 0; -1: the stage
  name TEXT NOT NULL,
  block INTEGER NOT NULL,
  pass INTEGER NOT NULL DEFAULT 1,            -- which way forward this is; a rewind begins the next
  status TEXT NOT NULL,                       -- pending, waiting, started, validating, completed, failed,
                                              -- rolling_back, rolled_back, rollback_failed, skipped, cancelled;
                                              -- no CHECK: it would double what an update costs, twice a stage
  attempts INTEGER NOT NULL DEFAULT 0,        -- the number of the last; they go on from pass to pass
  outcome TEXT NOT NULL DEFAULT '',           -- how the last attempt ended
  error_kind TEXT NOT NULL DEFAULT '',
  rollback_attempts INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  ended_at INTEGER,
  result_seq INTEGER,                         -- the journal entry whose payload holds its result and outputs
  PRIMARY KEY (run_id, position, item)
) STRICT, WITHOUT ROWID;

CREATE VIEW run_status_tracker AS
SELECT r.program, r.run_name, r.run_id, r.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.run_time / 1000.0, 'unixepoch') AS scheduled_time,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.launched_at / 1000.0, 'unixepoch') AS launch_time,
       r.status AS run_status, r.cause, s.name AS stage, iif(s.item < 0, NULL, s.item) AS item, s.block, s.pass,
       s.status AS stage_status, s.attempts, s.outcome, s.error_kind,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.ended_at / 1000.0, 'unixepoch') AS ended_at,
       p.content AS result
FROM runs r
JOIN stages s ON s.run_id = r.run_id
LEFT JOIN payloads p ON p.run_id = s.run_id AND p.seq = s.result_seq;

CREATE TABLE instructions (
  instruction_id TEXT NOT NULL PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs,
  content TEXT NOT NULL,                      -- JSON: the verb, who says it, why, and what goes with it
  said_at INTEGER NOT NULL,
  answer TEXT CHECK (answer IN ('obeyed', 'refused')),  -- NULL until whoever drives the run has taken it up
  why TEXT NOT NULL DEFAULT '',               -- why it was refused
  seq INTEGER                                 -- the journal entry that says it, written in the transaction of `obeyed`
) STRICT;

CREATE INDEX instructions_unanswered ON instructions (said_at) WHERE answer IS NULL;

CREATE INDEX runs_unsettled ON runs (program, backfill <> '', run_time)
  WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');

CREATE TABLE schedules (
  program TEXT NOT NULL PRIMARY KEY,
  version TEXT NOT NULL REFERENCES programs,  -- the one that is live: it is run when it is due
  live_since INTEGER NOT NULL,                -- when the program was first live in this store: nothing before is due
  settled_until INTEGER NOT NULL,             -- every due time up to and including this moment has a run on record
  source TEXT NOT NULL,                       -- the file or the reference that it was read from
  origin TEXT NOT NULL,                       -- JSON: see runs.origin
  zones TEXT NOT NULL,                        -- release of the time zone data by which its times are found
  retired_at INTEGER                          -- since when it is not live any more
) STRICT;

CREATE TABLE program_pauses (
  program TEXT NOT NULL,
  paused_at INTEGER NOT NULL,
  paused_by TEXT NOT NULL,
  paused_why TEXT NOT NULL DEFAULT '',
  unpaused_at INTEGER,                        -- NULL while it lasts
  unpaused_by TEXT NOT NULL DEFAULT '',
  unpaused_why TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE UNIQUE INDEX program_pauses_open ON program_pauses (program) WHERE unpaused_at IS NULL;

CREATE INDEX program_pauses_by_end ON program_pauses (program, unpaused_at);

CREATE TABLE backfills (
  backfill_id TEXT NOT NULL PRIMARY KEY,
  program TEXT NOT NULL,
  version TEXT NOT NULL,                      -- of which its runs are; empty: of the one that is live when each is made
  from_time INTEGER NOT NULL,
  to_time INTEGER NOT NULL,                   -- both are in it
  which TEXT NOT NULL CHECK (which IN ('missing', 'failed', 'all')),
  run_order TEXT NOT NULL CHECK (run_order IN ('oldest', 'newest')),
  at_once INTEGER NOT NULL CHECK (at_once >= 1),
  stops_on_failure INTEGER NOT NULL,
  variables TEXT NOT NULL,                    -- JSON: beside the program's own
  origin TEXT NOT NULL,                       -- JSON: see runs.origin
  made_at INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  made_why TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'paused', 'stopped', 'cancelled', 'completed')),
  changed_at INTEGER NOT NULL,
  changed_by TEXT NOT NULL,
  changed_why TEXT NOT NULL
) STRICT;

CREATE INDEX backfills_open ON backfills (status) WHERE status IN ('running', 'paused');

CREATE TABLE backfill_times (
  backfill_id TEXT NOT NULL REFERENCES backfills,
  position INTEGER NOT NULL,                  -- in the order in which they are run, from 0
  run_time INTEGER NOT NULL,
  follows TEXT NOT NULL,                      -- the last run of that time when the backfill was made
  run_id TEXT,                                -- the run that was made for it, or that somebody else has made meanwhile
  is_accepted INTEGER NOT NULL DEFAULT 0,     -- 1: it has failed, and somebody let the backfill go on all the same
  PRIMARY KEY (backfill_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX backfill_times_by_run ON backfill_times (backfill_id, run_id);

CREATE INDEX runs_of_backfills ON runs (backfill, status) WHERE backfill <> '';

CREATE TABLE orchestrators (
  epoch INTEGER NOT NULL PRIMARY KEY,         -- who has the last one may record what becomes of runs, and nobody else
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT NOT NULL,                      -- names the time since that machine was started
  started_at INTEGER NOT NULL,
  uptime INTEGER NOT NULL,                    -- milliseconds from the machine's start to then, by a clock nobody sets
  clew TEXT NOT NULL,                         -- version of clew
  unsafe TEXT NOT NULL                        -- JSON: what was found unsafe by name, where somebody drove all the same
) STRICT;

CREATE INDEX runs_to_drive ON runs (owner, program, launched_at)
  WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');

CREATE INDEX runs_with_places ON runs (program)
  WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');

CREATE TABLE gates (
  program TEXT NOT NULL PRIMARY KEY,          -- whose runs need places
  owner TEXT NOT NULL                         -- who gives them, and drives all of these runs
) STRICT;

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

CREATE TABLE objects_due (
  position INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  before_seq INTEGER NOT NULL                                  -- those of entries before this one; 0: all
) STRICT;

CREATE INDEX instructions_by_run ON instructions (run_id);

CREATE TABLE tokens (
  token_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,                 -- what it is for, in words of who made it
  role TEXT NOT NULL,                 -- viewer, operator or admin
  digest TEXT NOT NULL,               -- of its secret, which nobody has but who was given it
  made_at INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  expires_at INTEGER,                 -- NULL: never
  used_at INTEGER,                    -- the last time, to the minute; NULL: never
  revoked_at INTEGER,
  revoked_by TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE request_keys (
  program TEXT NOT NULL,
  request_key TEXT NOT NULL,
  run_id TEXT NOT NULL,
  salt BLOB NOT NULL,
  digest TEXT NOT NULL,               -- of the salt and the variables that came with it
  asked_at INTEGER NOT NULL,
  PRIMARY KEY (program, request_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_keys_by_run ON request_keys (run_id);

CREATE INDEX request_keys_by_age ON request_keys (asked_at);

INSERT INTO tree VALUES (1, 'clew/' || lower(hex(randomblob(8))), 0, x'', 0, x'', '');
