-- When programs are due, as far as that is settled, and when they were paused.

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
