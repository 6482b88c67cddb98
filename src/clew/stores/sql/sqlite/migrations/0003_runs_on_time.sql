-- Runs stand for due times: what has one made up for, and which one it follows.

ALTER TABLE runs ADD COLUMN backfill TEXT NOT NULL DEFAULT '';  -- a backfill's id; 'missed': its time was missed
ALTER TABLE runs ADD COLUMN follows TEXT NOT NULL DEFAULT '';   -- the run of the generation before, for the same time

ALTER TABLE runs ADD COLUMN is_due INTEGER NOT NULL DEFAULT 0;  -- 1: it stands for a due time of a cadence

-- What is not at rest, by program, and those that make up for something behind the others. The only such index: each
-- one is paid for with every change of a run's status.
DROP INDEX runs_unsettled;
CREATE INDEX runs_unsettled ON runs (program, backfill <> '', run_time)
  WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');
