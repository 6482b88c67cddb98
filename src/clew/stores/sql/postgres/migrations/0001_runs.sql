-- The run status tracker (programs, runs, stages), the plan's chain, the journal and the payloads, what people say, when
-- programs are due, and backfills. The tables, columns and views are those of a store in SQLite, where each column is
-- described. Moments are integers: milliseconds since 1970-01-01T00:00:00Z. Every table may be read by anyone with SQL;
-- only clew writes them, each run's rows in one transaction with its journal.
--
-- Texts are compared byte by byte, so that order does not depend on the server's language. There are
-- no foreign keys: each would be looked up for each row that is written, and nothing that is referred to ever goes.

CREATE TABLE programs (
  version text COLLATE "C" NOT NULL PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  content text NOT NULL,
  registered_at bigint NOT NULL
);

CREATE TABLE plan_blocks (
  version text COLLATE "C" NOT NULL,
  block_index bigint NOT NULL CHECK (block_index >= 1),
  content text NOT NULL,
  hash text NOT NULL CHECK (length(hash) = 64),
  PRIMARY KEY (version, block_index)
);

CREATE TABLE runs (
  run_id text COLLATE "C" NOT NULL PRIMARY KEY,
  program text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  run_name text COLLATE "C" NOT NULL,
  run_time bigint NOT NULL,
  launched_at bigint NOT NULL,
  ended_at bigint,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'held', 'rolling_back',
    'rollback_failed', 'completed', 'failed', 'rolled_back', 'missed', 'skipped')),
  cause text NOT NULL DEFAULT '',
  requested_by text NOT NULL,
  generation bigint NOT NULL,
  residue text NOT NULL DEFAULT '[]',
  epoch bigint NOT NULL,
  entry_count bigint NOT NULL,
  head text NOT NULL,
  origin text NOT NULL,
  backfill text COLLATE "C" NOT NULL DEFAULT '',
  follows text NOT NULL DEFAULT '',
  is_due integer NOT NULL DEFAULT 0,
  owner text COLLATE "C" NOT NULL DEFAULT '',
  needs_place integer NOT NULL DEFAULT 0,
  UNIQUE (program, run_name),
  UNIQUE (program, run_time, generation)
) WITH (fillfactor = 70);                     -- room beside each row for what it is next, at no cost to the indexes

CREATE INDEX runs_by_launch ON runs (launched_at);

CREATE INDEX runs_unsettled ON runs (program, (backfill <> ''), run_time)
  WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');

CREATE INDEX runs_to_drive ON runs (owner, program, launched_at)
  WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back');

CREATE INDEX runs_with_places ON runs (program)
  WHERE needs_place = 1 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back');

CREATE INDEX runs_of_backfills ON runs (backfill, status) WHERE backfill <> '';

CREATE TABLE gates (
  program text COLLATE "C" NOT NULL PRIMARY KEY,
  owner text COLLATE "C" NOT NULL
);

-- Who may drive runs here. A lease is compared with this server's clock, and with no other.
CREATE TABLE orchestrators (
  orchestrator_id text COLLATE "C" NOT NULL PRIMARY KEY,
  host text NOT NULL,
  pid bigint NOT NULL,
  boot_id text NOT NULL,
  started_at bigint NOT NULL,
  uptime bigint NOT NULL,
  clew text NOT NULL,
  unsafe text NOT NULL,
  lease_until timestamptz NOT NULL,
  turn bigint NOT NULL
);

CREATE TABLE stages (
  run_id text COLLATE "C" NOT NULL,
  position integer NOT NULL,
  item integer NOT NULL DEFAULT -1,
  name text COLLATE "C" NOT NULL,
  block integer NOT NULL,
  pass integer NOT NULL DEFAULT 1,
  status text NOT NULL,                       -- pending, waiting, started, validating, completed, failed,
                                              -- rolling_back, rolled_back, rollback_failed, skipped, cancelled;
                                              -- no CHECK, as in SQLite
  attempts integer NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '',
  error_kind text NOT NULL DEFAULT '',
  rollback_attempts integer NOT NULL DEFAULT 0,
  started_at bigint,
  ended_at bigint,
  result_seq bigint,
  PRIMARY KEY (run_id, position, item)
) WITH (fillfactor = 70);

CREATE TABLE journal (
  run_id text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  content text NOT NULL,
  hash text NOT NULL,
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE payloads (
  run_id text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  salt bytea NOT NULL,
  content text,
  location text,
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE instructions (
  position bigint GENERATED ALWAYS AS IDENTITY,
  instruction_id text COLLATE "C" NOT NULL PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL,
  content text NOT NULL,
  said_at bigint NOT NULL,
  answer text CHECK (answer IN ('obeyed', 'refused')),
  why text NOT NULL DEFAULT '',
  seq bigint
);

CREATE INDEX instructions_unanswered ON instructions (said_at, position) WHERE answer IS NULL;

CREATE TABLE schedules (
  program text COLLATE "C" NOT NULL PRIMARY KEY,
  version text COLLATE "C" NOT NULL,
  live_since bigint NOT NULL,
  settled_until bigint NOT NULL,
  source text NOT NULL,
  origin text NOT NULL,
  zones text NOT NULL,
  retired_at bigint
);

CREATE TABLE program_pauses (
  program text COLLATE "C" NOT NULL,
  paused_at bigint NOT NULL,
  paused_by text NOT NULL,
  paused_why text NOT NULL DEFAULT '',
  unpaused_at bigint,
  unpaused_by text NOT NULL DEFAULT '',
  unpaused_why text NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX program_pauses_open ON program_pauses (program) WHERE unpaused_at IS NULL;
CREATE INDEX program_pauses_by_end ON program_pauses (program, unpaused_at);

CREATE TABLE backfills (
  backfill_id text COLLATE "C" NOT NULL PRIMARY KEY,
  program text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  from_time bigint NOT NULL,
  to_time bigint NOT NULL,
  which text NOT NULL CHECK (which IN ('missing', 'failed', 'all')),
  run_order text NOT NULL CHECK (run_order IN ('oldest', 'newest')),
  at_once integer NOT NULL CHECK (at_once >= 1),
  stops_on_failure integer NOT NULL,
  variables text NOT NULL,
  origin text NOT NULL,
  made_at bigint NOT NULL,
  made_by text NOT NULL,
  made_why text NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'paused', 'stopped', 'cancelled', 'completed')),
  changed_at bigint NOT NULL,
  changed_by text NOT NULL,
  changed_why text NOT NULL
);

CREATE INDEX backfills_open ON backfills (status) WHERE status IN ('running', 'paused');

CREATE TABLE backfill_times (
  backfill_id text COLLATE "C" NOT NULL,
  position integer NOT NULL,
  run_time bigint NOT NULL,
  follows text NOT NULL,
  run_id text COLLATE "C",
  is_accepted integer NOT NULL DEFAULT 0,
  PRIMARY KEY (backfill_id, position)
);

CREATE INDEX backfill_times_by_run ON backfill_times (backfill_id, run_id);

-- A moment as people read it.
CREATE FUNCTION written_moment(milliseconds bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  to_char(timestamp '1970-01-01' + milliseconds * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- What a person asks first: who ran what, when, and what came of it.
CREATE VIEW run_status_tracker AS
SELECT r.program, r.run_name, r.run_id, r.version, written_moment(r.run_time) AS scheduled_time,
       written_moment(r.launched_at) AS launch_time, r.status AS run_status, r.cause, s.name AS stage,
       CASE WHEN s.item >= 0 THEN s.item END AS item, s.block, s.pass, s.status AS stage_status, s.attempts, s.outcome,
       s.error_kind, written_moment(s.started_at) AS started_at, written_moment(s.ended_at) AS ended_at,
       p.content AS result
FROM runs r
JOIN stages s ON s.run_id = r.run_id
LEFT JOIN payloads p ON p.run_id = s.run_id AND p.seq = s.result_seq;

-- The journal, a column for each field that every entry has.
CREATE VIEW journal_entries AS
SELECT run_id, seq, content::json #>> '{body,kind}' AS kind, content::json #>> '{body,stage}' AS stage,
       written_moment((content::json ->> 'at')::bigint) AS at, (content::json ->> 'epoch')::bigint AS epoch,
       content::json -> 'body' AS body, hash
FROM journal;

-- The variables map: every name that was written in a run, by which stage, with its value. As it stood at a
-- stage: the rows with a smaller seq than that stage's first attempt.
CREATE VIEW variables AS
SELECT p.run_id, p.seq, coalesce(j.content::json #>> '{body,stage}', '') AS stage, v.key AS name,
       json_typeof(v.value) AS kind, v.value
FROM payloads p
JOIN journal j ON j.run_id = p.run_id AND j.seq = p.seq
CROSS JOIN LATERAL json_each(p.content::json -> 'variables') v
WHERE p.content IS NOT NULL AND json_typeof(p.content::json -> 'variables') = 'object';
