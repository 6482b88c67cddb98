-- Stages have items and passes, and people's instructions wait here until whoever drives the run takes them up.

CREATE TABLE stages_and_items (
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

INSERT INTO stages_and_items (run_id, position, name, block, status, attempts, outcome, error_kind, rollback_attempts,
  started_at, ended_at, result_seq)
SELECT run_id, position, name, block, status, attempts, outcome, error_kind, rollback_attempts, started_at, ended_at,
  result_seq
FROM stages;

DROP VIEW run_status_tracker;
DROP TABLE stages;
ALTER TABLE stages_and_items RENAME TO stages;

-- What a person asks first: who ran what, when, and what came of it.
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
