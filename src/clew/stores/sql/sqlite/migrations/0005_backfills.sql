-- Past times that somebody wants to be run, as objects of their own.

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

-- What is to do, in order; and which time a run is for.
CREATE INDEX backfill_times_by_run ON backfill_times (backfill_id, run_id);

-- How many runs of a backfill are in which status, at no cost to any other run.
CREATE INDEX runs_of_backfills ON runs (backfill, status) WHERE backfill <> '';
