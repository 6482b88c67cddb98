-- Who drives each run, and which programs' runs are driven by one orchestrator alone, since they need places.

ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '';        -- who drives it, or did; empty: nobody yet
ALTER TABLE runs ADD COLUMN needs_place INTEGER NOT NULL DEFAULT 0;  -- 1: it is queued until its program has room for it

-- What somebody can drive who has the time: found by who drove it last, and so by who is gone. Without IN, for which
-- SQLite builds a list with each row that is written: it made a flush twice as dear.
CREATE INDEX runs_to_drive ON runs (owner, program, launched_at)
  WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');
CREATE INDEX runs_with_places ON runs (program)
  WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');

CREATE TABLE gates (
  program TEXT NOT NULL PRIMARY KEY,          -- whose runs need places
  owner TEXT NOT NULL                         -- who gives them, and drives all of these runs
) STRICT;
