-- What leaves the store again: payloads that somebody has had erased, and runs that have been kept for as long as they
-- are to be.

ALTER TABLE runs ADD COLUMN erased_at INTEGER;                 -- when its payloads were erased last; NULL: never
ALTER TABLE runs ADD COLUMN removed_at INTEGER;                -- when all of it but this row was; NULL: it is all there
ALTER TABLE runs ADD COLUMN archive TEXT NOT NULL DEFAULT '';  -- where its export stands; empty: nowhere

-- Whose large payloads and kept objects are to be deleted, which stand in a bucket and not here.
CREATE TABLE objects_due (
  position INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  before_seq INTEGER NOT NULL                                  -- those of entries before this one; 0: all
) STRICT;

-- What people have told one run.
CREATE INDEX instructions_by_run ON instructions (run_id);
