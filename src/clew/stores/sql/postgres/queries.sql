-- Each query has a name and a sentence. The names are the same, in the same order, for every database.

-- name: insert_program
-- A program version is kept once.
INSERT INTO programs (version, name, content, registered_at) VALUES ($1, $2, $3, $4) ON CONFLICT (version) DO NOTHING;

-- name: insert_plan_block
-- The chain of a version is kept once, too.
INSERT INTO plan_blocks (version, block_index, content, hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: select_program
-- A version's content.
SELECT name, content FROM programs WHERE version = $1;

-- name: select_plan_blocks
-- A version's chain, in order.
SELECT block_index, content, hash FROM plan_blocks WHERE version = $1 ORDER BY block_index;

-- name: select_last_version
-- The version of a program that ran last, other than the given one where that ran too.
SELECT version FROM runs WHERE program = $1 ORDER BY launched_at DESC, run_id DESC LIMIT 1;

-- name: insert_run
-- A run comes to be, with its first entries, in one transaction.
INSERT INTO runs (run_id, program, version, run_name, run_time, launched_at, requested_by, generation, origin,
  backfill, follows, is_due, needs_place, status, epoch, owner, entry_count, head)
SELECT run_id, program, version, run_name, run_time, launched_at, requested_by, generation, origin, backfill, follows,
  is_due, needs_place, 'queued', epoch, owner, 0, ''
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[],
  $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[]) AS given (run_id,
  program, version, run_name, run_time, launched_at, requested_by, generation, origin, backfill, follows, is_due,
  needs_place, epoch, owner);

-- name: select_existing
-- The run in whose place another was to be created; not one that this transaction itself has just begun.
SELECT run_id FROM runs
WHERE (run_id = :run_id AND entry_count > 0)
   OR (run_id <> :run_id AND program = :program AND (run_name = :run_name
       OR (run_time = :run_time AND generation = :generation)));

-- name: insert_stage
-- A stage's row in the tracker, from the first moment on.
INSERT INTO stages (run_id, position, name, block, status)
SELECT run_id, position, name, block, 'pending'
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS given (run_id, position, name, block);

-- name: advance_run
-- Every record moves its run's row on, and only the holder of the epoch can: the fence, for all runs of a batch at once.
-- Where one of them does not pass it divides by zero, so that nothing of the transaction holds.
WITH advanced AS (
  UPDATE runs SET entry_count = given.entry_count, head = given.head
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS given (entry_count, head, run_id, epoch, entry_count_before)
  WHERE runs.run_id = given.run_id AND runs.epoch = given.epoch AND runs.entry_count = given.entry_count_before
  RETURNING 1)
SELECT 1 / (CASE count(*) WHEN cardinality($3::text[]) THEN 1 ELSE 0 END) FROM advanced;

-- name: update_run
-- The run's row follows what its entries say, where that changed.
UPDATE runs SET status = given.status, cause = given.cause, ended_at = given.ended_at, residue = given.residue
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS given (status, cause, ended_at, residue, run_id)
WHERE runs.run_id = given.run_id;

-- name: launch_run
-- A run that was queued has begun. By itself, since it names an indexed column.
UPDATE runs SET launched_at = given.launched_at FROM unnest($1::bigint[], $2::text[]) AS given (launched_at, run_id)
WHERE runs.run_id = given.run_id;

-- name: update_stage
-- A stage's row follows what its entries say. The item is given too, though it is always -1: with a
-- constant the planner may choose to read the whole index.
UPDATE stages SET pass = given.pass, status = given.status, attempts = given.attempts, outcome = given.outcome,
  error_kind = given.error_kind, rollback_attempts = given.rollback_attempts, started_at = given.started_at,
  ended_at = given.ended_at, result_seq = given.result_seq
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::text[], $11::bigint[], $12::bigint[]) AS given (pass, status, attempts, outcome, error_kind,
  rollback_attempts, started_at, ended_at, result_seq, run_id, position, item)
WHERE stages.run_id = given.run_id AND stages.position = given.position AND stages.item = given.item;

-- name: delete_items
-- A new pass of a stage makes its items anew.
DELETE FROM stages USING unnest($1::text[], $2::bigint[]) AS given (run_id, position)
WHERE stages.run_id = given.run_id AND stages.position = given.position AND stages.item > least(given.position, -1);

-- name: put_item
-- An item's row follows what its entries say, from the moment on in which it is made.
INSERT INTO stages (run_id, position, name, block, item, pass, status, attempts, outcome, error_kind,
  rollback_attempts, started_at, ended_at, result_seq)
SELECT run_id, position, whole.name, whole.block, given.item, given.pass, given.status, given.attempts, given.outcome,
  given.error_kind, given.rollback_attempts, given.started_at, given.ended_at, given.result_seq
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[],
  $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) AS given (run_id, position, item, pass, status, attempts,
  outcome, error_kind, rollback_attempts, started_at, ended_at, result_seq)
JOIN stages AS whole USING (run_id, position)
WHERE whole.item = least(given.item, -1)
ON CONFLICT (run_id, position, item) DO UPDATE SET pass = excluded.pass, status = excluded.status,
  attempts = excluded.attempts, outcome = excluded.outcome, error_kind = excluded.error_kind,
  rollback_attempts = excluded.rollback_attempts, started_at = excluded.started_at, ended_at = excluded.ended_at,
  result_seq = excluded.result_seq;

-- name: insert_entry
-- The journal only grows.
INSERT INTO journal (run_id, seq, content, hash)
SELECT run_id, seq, content, hash
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS given (run_id, seq, content, hash);

-- name: insert_payload
-- What an entry names by digest stands apart.
INSERT INTO payloads (run_id, seq, salt, content, location)
SELECT run_id, seq, salt, content, location
FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[], $5::text[]) AS given (run_id, seq, salt, content, location);

-- name: erase_payloads
-- All that the entries before one have said is gone.
DELETE FROM payloads USING unnest($1::text[], $2::bigint[]) AS given (run_id, seq)
WHERE payloads.run_id = given.run_id AND payloads.seq < given.seq;

-- name: erase_instructions
-- And so is what people have told the run, but that they did.
UPDATE instructions SET content = '', why = '' WHERE run_id = ANY($1::text[]) AND answer IS NOT NULL;

-- name: erase_request_keys
-- By what it was asked for under a key could be guessed what with.
UPDATE request_keys SET salt = '', digest = '' WHERE run_id IN (SELECT unnest($1::text[]));

-- name: note_erased
-- The run's row says when.
UPDATE runs SET erased_at = given.erased_at FROM unnest($1::bigint[], $2::text[]) AS given (erased_at, run_id)
WHERE runs.run_id = given.run_id;

-- name: insert_object_due
-- What stands in a bucket is to be deleted, too.
INSERT INTO objects_due (run_id, before_seq) SELECT run_id, before_seq
FROM unnest($1::text[], $2::bigint[]) AS given (run_id, before_seq);

-- name: insert_leaf_due
-- A run that was created, or has settled, is to have a leaf in the tree.
INSERT INTO leaves_due (run_id, kind, entry_count, head)
SELECT run_id, kind, entry_count, head
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS given (run_id, kind, entry_count, head);

-- name: insert_instruction
-- What a person tells a run waits until whoever drives it takes it up. Said again, where nobody knows, it is said once.
INSERT INTO instructions (instruction_id, run_id, content, said_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (instruction_id) DO NOTHING;

-- name: obey_instruction
-- An instruction is obeyed in the transaction of the entry that says it. Whether it was answered is asked in such a way
-- that the planner does not go by the index of those that were not.
UPDATE instructions SET answer = 'obeyed', seq = given.seq
FROM unnest($1::bigint[], $2::text[]) AS given (seq, instruction_id)
WHERE instructions.instruction_id = given.instruction_id AND coalesce(answer, '') = '';

-- name: refuse_instruction
-- Or it is refused, and changes nothing; by nobody whom another orchestrator has fenced. Nothing is kept of what was
-- said to a run that was removed.
UPDATE instructions SET answer = 'refused', why = $1, content = CASE
  WHEN EXISTS (SELECT 1 FROM runs WHERE runs.run_id = instructions.run_id AND removed_at IS NOT NULL) THEN '' ELSE content END
WHERE instruction_id = $2 AND answer IS NULL
  AND $3::bigint IS NOT DISTINCT FROM (SELECT epoch FROM runs WHERE runs.run_id = instructions.run_id);

-- name: select_instructions
-- What waits to be taken up, in the order in which it was said; for an orchestrator without what is said to runs that
-- another one drives who is there.
SELECT instruction_id, run_id, content FROM instructions
WHERE answer IS NULL AND (:me = '' OR NOT EXISTS (SELECT 1 FROM runs JOIN orchestrators ON orchestrator_id = owner
  WHERE runs.run_id = instructions.run_id AND owner <> :me AND lease_until >= clock_timestamp()))
ORDER BY said_at, position;

-- name: select_instruction_content
-- What somebody has told a run, under an id that is known.
SELECT content FROM instructions WHERE instruction_id = $1;

-- name: select_instruction
-- What became of one.
SELECT answer, why, seq FROM instructions WHERE instruction_id = $1;

-- name: select_to_drive
-- Of whose runs, and of which programs, there are any that nobody drives who is there still. By steps from one owner, and
-- from one program, to the next: it costs the same however many runs there are.
WITH RECURSIVE owners (owner) AS (
  SELECT min(owner) FROM runs WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
  UNION ALL
  SELECT (SELECT min(runs.owner) FROM runs WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND runs.owner > owners.owner)
  FROM owners WHERE owners.owner IS NOT NULL),
gone (owner) AS (
  SELECT owner FROM owners WHERE owner IS NOT NULL AND owner <> :me
  AND NOT EXISTS (SELECT 1 FROM orchestrators WHERE orchestrator_id = owners.owner AND lease_until >= clock_timestamp())),
pairs (owner, program) AS (
  SELECT gone.owner, (SELECT min(runs.program) FROM runs WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND runs.owner = gone.owner)
  FROM gone
  UNION ALL
  SELECT pairs.owner, (SELECT min(runs.program) FROM runs WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND runs.owner = pairs.owner AND runs.program > pairs.program)
  FROM pairs WHERE pairs.program IS NOT NULL)
SELECT owner, program FROM pairs WHERE program IS NOT NULL ORDER BY program <= :after, program, owner LIMIT :limit::bigint;

-- name: claim_runs
-- Some of these become another orchestrator's, the oldest first; whoever had them is fenced.
WITH chosen AS MATERIALIZED (
  SELECT run_id FROM runs
  WHERE needs_place = 0 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND owner = :owner AND program = :program AND strpos(:besides, version) = 0
    AND strpos(:besides, run_id) = 0
    AND NOT EXISTS (SELECT 1 FROM orchestrators WHERE orchestrator_id = :owner AND lease_until >= clock_timestamp())
  ORDER BY launched_at LIMIT :limit::bigint
  FOR UPDATE SKIP LOCKED)
UPDATE runs SET owner = :me, epoch = epoch + 1 WHERE run_id IN (SELECT run_id FROM chosen)
RETURNING run_id, version, origin, epoch, status;

-- name: claim_run
-- One run becomes another orchestrator's, unless somebody drives it who is there still.
UPDATE runs SET owner = :me, epoch = epoch + 1
WHERE run_id = :run_id AND removed_at IS NULL AND (owner IN ('', :me)
  OR NOT EXISTS (SELECT 1 FROM orchestrators WHERE orchestrator_id = runs.owner AND lease_until >= clock_timestamp()))
RETURNING run_id, version, origin, epoch, status;

-- name: select_with_places
-- The programs with runs that need places, of which one has not got all, and whose places nobody else gives who is there
-- still.
WITH RECURSIVE found (program) AS (
  SELECT min(program) FROM runs WHERE needs_place = 1 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
  UNION ALL
  SELECT (SELECT min(runs.program) FROM runs WHERE needs_place = 1 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND runs.program > found.program)
  FROM found WHERE found.program IS NOT NULL)
SELECT program FROM found WHERE program IS NOT NULL
  AND EXISTS (SELECT 1 FROM runs WHERE needs_place = 1 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
    AND runs.program = found.program AND runs.owner <> :me)
  AND NOT EXISTS (SELECT 1 FROM gates WHERE gates.program = found.program AND gates.owner <> :me
    AND EXISTS (SELECT 1 FROM orchestrators
      WHERE orchestrator_id = gates.owner AND lease_until >= clock_timestamp()));

-- name: select_gate_is_free
-- Whether nobody else gives the places of a program who is there still.
SELECT NOT EXISTS (SELECT 1 FROM gates JOIN orchestrators ON orchestrator_id = gates.owner
  WHERE program = :program AND gates.owner <> :me AND lease_until >= clock_timestamp());

-- name: take_gate
-- Whoever gives the places of a program drives its runs; unless somebody does who is there still.
INSERT INTO gates (program, owner) VALUES (:program, :me)
ON CONFLICT (program) DO UPDATE SET owner = excluded.owner
WHERE gates.owner = excluded.owner OR NOT EXISTS (SELECT 1 FROM orchestrators WHERE orchestrator_id = gates.owner AND lease_until >= clock_timestamp())
RETURNING 1;

-- name: claim_with_places
-- Those that have begun become the orchestrator's who gives the places of their program; those that are queued by others
-- are nobody's: who has queued them gives none a place any more.
UPDATE runs SET owner = CASE WHEN status = 'queued' THEN '' ELSE :me END, epoch = epoch + 1
WHERE needs_place = 1 AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back') AND (status <> 'queued' OR owner <> '')
  AND program = :program AND owner <> :me
RETURNING run_id, version, origin, epoch, status;

-- name: release_some
-- Some runs are anybody's.
UPDATE runs SET owner = '' WHERE run_id IN (SELECT json_array_elements_text(:run_ids::json)) AND owner = :me;

-- name: select_owned
-- What an orchestrator drives, as far as is on record.
SELECT run_id, epoch FROM runs
WHERE owner = :me AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back');

-- name: select_others
-- Whether anybody else is there who drives.
SELECT EXISTS (SELECT 1 FROM orchestrators WHERE orchestrator_id <> :me AND lease_until >= clock_timestamp());

-- name: select_driven
-- The runs that others drive who are there.
SELECT run_id FROM runs JOIN orchestrators ON orchestrator_id = owner
WHERE status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back')
  AND owner <> :me AND lease_until >= clock_timestamp();

-- name: release_runs
-- What it drives is anybody's.
UPDATE runs SET owner = ''
WHERE owner = :me AND status IN ('queued', 'running', 'waiting', 'paused', 'rolling_back');

-- name: release_gate
-- Anybody may give the places of a program.
DELETE FROM gates WHERE owner = :me AND program = :program;

-- name: release_gates
-- And so are the places that it gives.
DELETE FROM gates WHERE owner = :me;

-- name: select_head
-- Where a run's journal ends.
SELECT epoch, entry_count, head FROM runs WHERE run_id = $1;

-- name: select_generation
-- The last generation of a program at one scheduled time.
SELECT max(generation) FROM runs WHERE program = $1 AND run_time = $2;

-- name: select_unsettled
-- The runs that are not at rest, oldest first.
SELECT run_id, version, epoch, status FROM runs
WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped') ORDER BY launched_at, run_id;

-- name: select_queued
-- The first of a program's queue: those that make up for nothing, and those that do.
SELECT * FROM (
  SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
  WHERE program = $1 AND (backfill <> '') = false AND status = 'queued'
    AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  ORDER BY run_time, generation LIMIT $2) AS first
UNION ALL SELECT * FROM (
  SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
  WHERE program = $1 AND (backfill <> '') = true AND status = 'queued'
    AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  ORDER BY run_time, generation LIMIT $2) AS making_up;

-- name: select_under_way
-- The runs of a program that have begun and are not at rest for good.
SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
WHERE program = $1 AND status <> 'queued'
  AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');

-- name: change_count
-- Others tell of what they change, and may be overheard: see `PostgresStore.change_count`.
SELECT 0;

-- name: select_run
-- One run's row.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs WHERE run_id = $1;

-- name: select_last_run
-- A program's run that is latest by scheduled time, then by launch: of all, or of those for one time, or in one status,
-- and never the one that asks.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs
WHERE program = :program AND (:run_time::bigint IS NULL OR run_time = :run_time) AND (:status::text IS NULL OR status = :status)
  AND run_id <> :besides
ORDER BY run_time DESC, launched_at DESC, generation DESC LIMIT 1;

-- name: select_run_ids
-- The runs whose id or name begins so: what a person types.
SELECT run_id FROM runs WHERE run_id LIKE $1 ESCAPE '\' OR run_name = $2 ORDER BY launched_at DESC LIMIT 3;

-- name: select_runs
-- Runs, newest first, before a cursor.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs
WHERE (:program::text IS NULL OR program = :program) AND (:status::text IS NULL OR status = :status)
  AND (launched_at, run_id) < (:before::bigint, :before_run)
ORDER BY launched_at DESC, run_id DESC LIMIT :limit;

-- name: select_all_run_ids
-- Every run, oldest first.
SELECT run_id FROM runs ORDER BY launched_at, run_id;

-- name: select_stages
-- A run's stages in the plan's order, each followed by its items.
SELECT name, item, block, pass, status, attempts, outcome, error_kind, rollback_attempts, started_at, ended_at, result_seq
FROM stages WHERE run_id = $1 ORDER BY position, item;

-- name: select_journal
-- A run's entries after a given one.
SELECT content, hash FROM journal WHERE run_id = $1 AND seq > $2 ORDER BY seq;

-- name: select_payloads
-- A run's payloads.
SELECT seq, salt, content, location FROM payloads WHERE run_id = $1 ORDER BY seq;

-- name: select_payload
-- One payload.
SELECT salt, content, location FROM payloads WHERE run_id = $1 AND seq = $2;

-- name: select_schedules
-- What is live, and what was.
SELECT program, version, live_since, settled_until, source, origin, zones, retired_at FROM schedules ORDER BY program;

-- name: select_schedule
-- One of them.
SELECT program, version, live_since, settled_until, source, origin, zones, retired_at FROM schedules WHERE program = $1;

-- name: select_origins
-- Where the code lies of all that may run yet: runs that have not settled, programs that are live, backfills that go on.
SELECT origin FROM runs WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
UNION SELECT origin FROM schedules WHERE retired_at IS NULL
UNION SELECT origin FROM backfills WHERE status IN ('running', 'paused', 'stopped');

-- name: put_schedule
-- A program, or another version of it, is live. What came to be due while it was not is no business of anybody's.
INSERT INTO schedules (program, version, live_since, settled_until, source, origin, zones)
VALUES (:program, :version, :at::bigint, :at::bigint - 1, :source, :origin, :zones)
ON CONFLICT (program) DO UPDATE SET version = excluded.version, source = excluded.source, origin = excluded.origin,
  zones = excluded.zones, retired_at = NULL,
  settled_until = CASE WHEN schedules.retired_at IS NULL THEN schedules.settled_until
    ELSE greatest(schedules.settled_until, excluded.settled_until) END;

-- name: retire_schedule
-- A program is not live any more.
UPDATE schedules SET retired_at = $1 WHERE program = $2 AND retired_at IS NULL;

-- name: settle_schedule
-- All due times up to another moment are on record; unless somebody was faster, or it is not live any more.
UPDATE schedules SET settled_until = $1 WHERE program = $2 AND settled_until = $3 AND retired_at IS NULL RETURNING 1;

-- name: select_pauses
-- When a program was paused, as far as it lasted beyond a moment, the last one first.
SELECT paused_at, paused_by, paused_why, unpaused_at FROM program_pauses
WHERE program = $1 AND (unpaused_at IS NULL OR unpaused_at > $2) ORDER BY paused_at DESC;

-- name: pause_program
-- Somebody pauses a program that is not paused.
INSERT INTO program_pauses (program, paused_at, paused_by, paused_why) VALUES ($1, $2, $3, $4)
ON CONFLICT (program) WHERE unpaused_at IS NULL DO NOTHING RETURNING 1;

-- name: unpause_program
-- Somebody lets it go on.
UPDATE program_pauses SET unpaused_at = greatest($1, paused_at), unpaused_by = $2, unpaused_why = $3
WHERE program = $4 AND unpaused_at IS NULL RETURNING 1;

-- name: count_pauses
-- Changes whenever a program is paused or goes on.
SELECT count(*), count(unpaused_at) FROM program_pauses;

-- name: select_past_runs
-- The last run of each scheduled time of a program within a range.
SELECT run_time, run_id, status FROM runs AS r
WHERE program = $1 AND run_time BETWEEN $2 AND $3 AND generation =
  (SELECT max(generation) FROM runs WHERE program = $1 AND run_time = r.run_time)
ORDER BY run_time;

-- name: insert_backfill
-- Somebody wants past times to be run.
INSERT INTO backfills (backfill_id, program, version, from_time, to_time, which, run_order, at_once, stops_on_failure,
  variables, origin, made_at, made_by, made_why, status, changed_at, changed_by, changed_why)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: insert_backfill_time
-- One of these times.
INSERT INTO backfill_times (backfill_id, position, run_time, follows) VALUES ($1, $2, $3, $4);

-- name: select_backfills
-- Every backfill, the newest first; or those that are still open.
SELECT backfill_id, program, version, from_time, to_time, which, run_order, at_once, stops_on_failure, variables, origin,
  made_at, made_by, made_why, status, changed_at, changed_by, changed_why
FROM backfills WHERE (NOT :open::boolean OR status IN ('running', 'paused')) AND (:id::text IS NULL OR backfill_id LIKE :id || '%')
ORDER BY made_at DESC, backfill_id LIMIT :limit;

-- name: count_backfill_times
-- How far a backfill has come: the statuses of its runs; empty for times that have none yet.
SELECT coalesce(r.status, ''), count(*) FROM backfill_times AS t LEFT JOIN runs AS r ON r.run_id = t.run_id
WHERE t.backfill_id = $1 GROUP BY 1 ORDER BY 1;

-- name: select_backfill_times
-- The first of its times that have no run yet.
SELECT position, run_time, follows FROM backfill_times
WHERE backfill_id = $1 AND run_id IS NULL ORDER BY position LIMIT $2;

-- name: select_backfill_runs
-- Its times with their runs, in order.
SELECT t.run_time, t.run_id, r.status, t.follows FROM backfill_times AS t LEFT JOIN runs AS r ON r.run_id = t.run_id
WHERE t.backfill_id = $1 ORDER BY t.position LIMIT nullif($2::bigint, -1);

-- name: select_backfill_unsettled
-- The runs that were made for a backfill and have not settled.
SELECT run_id, status FROM runs WHERE backfill = $1 AND backfill <> '' AND status IN
  ('queued', 'running', 'waiting', 'paused', 'held', 'rolling_back', 'rollback_failed') ORDER BY run_id;

-- name: count_backfill_failures
-- How many of its runs have settled without completing, and nobody has accepted that.
SELECT count(*) FROM runs AS r JOIN backfill_times AS t ON t.backfill_id = r.backfill AND t.run_id = r.run_id
WHERE r.backfill = $1 AND r.backfill <> '' AND r.status IN ('failed', 'rolled_back', 'missed', 'skipped')
  AND t.is_accepted = 0;

-- name: accept_backfill_failures
-- Somebody lets it go on, whatever has failed so far.
UPDATE backfill_times SET is_accepted = 1 WHERE backfill_id = $1 AND run_id IN (
  SELECT run_id FROM runs WHERE backfill = $1 AND backfill <> ''
    AND status IN ('failed', 'rolled_back', 'missed', 'skipped'));

-- name: cancel_backfill_runs
-- Those of its runs that are queued are told to be cancelled, each once.
INSERT INTO instructions (instruction_id, run_id, content, said_at)
SELECT 'backfill-' || run_id, run_id, $2, $3::bigint FROM runs WHERE backfill = $1 AND backfill <> '' AND status = 'queued'
ON CONFLICT DO NOTHING;

-- name: take_backfill_time
-- A run is made, or was, for one of the times of a backfill that runs.
UPDATE backfill_times SET run_id = $1 WHERE backfill_id = $2 AND position = $3 AND run_id IS NULL
  AND EXISTS (SELECT 1 FROM backfills WHERE backfill_id = $2 AND status = 'running') RETURNING 1;

-- name: change_backfill
-- It is paused, goes on, or is over; from one of the statuses in which that can be.
UPDATE backfills SET status = :status, changed_at = :at, changed_by = :by, changed_why = :why
WHERE backfill_id = :id AND strpos(:before, ' ' || status || ' ') > 0 RETURNING 1;

-- name: select_leaves_due
-- The leaves that have no place in the tree yet, in the order in which they get one.
SELECT position, run_id, kind, entry_count, head FROM leaves_due ORDER BY position LIMIT $1;

-- name: select_leaves_due_of
-- Those of one run.
SELECT run_id, kind, entry_count, head FROM leaves_due WHERE run_id = $1 ORDER BY position;

-- name: select_tree
-- Which tree it is, where it stands, and what of it was signed last.
SELECT origin, size, peaks, signed_size, signed_root, note FROM tree;

-- name: take_tree
-- The same, for whoever changes it: one at a time.
SELECT origin, size, peaks, signed_size, signed_root, note FROM tree FOR UPDATE;

-- name: insert_leaves
-- Leaves get the next places in the tree.
INSERT INTO leaves (leaf_index, run_id, kind, entry_count, head)
SELECT :size::bigint + row_number() OVER (ORDER BY position) - 1, run_id, kind, entry_count, head
FROM leaves_due WHERE position IN (SELECT json_array_elements_text(:positions::json)::bigint);

-- name: delete_leaves_due
-- They are not due any more.
DELETE FROM leaves_due WHERE position IN (SELECT json_array_elements_text(:positions::json)::bigint);

-- name: insert_tree_node
-- A node is complete, and stays what it is.
INSERT INTO tree_nodes (level, node_index, hash) VALUES ($1, $2, $3);

-- name: grow_tree
-- Where the tree stands with the new leaves.
UPDATE tree SET size = $1, peaks = $2;

-- name: sign_tree
-- What is about to be signed; never less than was signed before.
UPDATE tree SET signed_size = $1, signed_root = $2, note = '';

-- name: keep_note
-- The signed checkpoint, as long as it is that of what was signed last.
UPDATE tree SET note = $1 WHERE signed_size = $2;

-- name: select_leaves
-- Leaves from one on, in the tree's order.
SELECT leaf_index, run_id, kind, entry_count, head FROM leaves WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2;

-- name: select_leaves_of
-- The leaves of one run, and where they stand.
SELECT leaf_index, run_id, kind, entry_count, head FROM leaves WHERE run_id = $1 ORDER BY leaf_index;

-- name: select_tree_nodes
-- Some nodes of one level, beside each other.
SELECT hash FROM tree_nodes WHERE level = $1 AND node_index >= $2 ORDER BY node_index LIMIT $3;

-- name: select_leaf_without_run
-- The first leaf whose run is not there any more.
SELECT run_id FROM leaves WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = leaves.run_id)
ORDER BY leaf_index LIMIT 1;

-- name: select_objects_due
-- Whose objects are to be deleted, in the order in which that was said.
SELECT position, run_id, before_seq FROM objects_due WHERE position > $1 ORDER BY position LIMIT $2;

-- name: delete_object_due
-- That has been done.
DELETE FROM objects_due WHERE position = $1;

-- name: select_gone
-- Of some runs, until when what they said is gone; for good where all of them is.
SELECT run_id, CASE WHEN removed_at IS NULL THEN erased_at ELSE 9223372036854775807 END FROM runs
WHERE run_id IN (SELECT json_array_elements_text($1::json)) AND coalesce(removed_at, erased_at) IS NOT NULL;

-- name: select_settled_after
-- Runs in the order of their launch, from one on, that have not been removed; and those that have, so that no look is long.
SELECT run_id, program, version, status, launched_at, ended_at, entry_count, removed_at, archive FROM runs
WHERE (launched_at, run_id) > (:launched_at::bigint, :run_id) ORDER BY launched_at, run_id LIMIT :limit::bigint;

-- name: name_archives
-- Where the exports of some runs are about to be put, of those that say yet what they said before.
UPDATE runs SET archive = given.value ->> 2 FROM json_array_elements($1::json) AS given (value)
WHERE runs.run_id = given.value ->> 0 AND archive = given.value ->> 1 AND removed_at IS NULL RETURNING run_id;

-- name: remove_runs
-- All of these is to leave but their rows, as long as each is what it was when it was looked at, nobody has told it
-- anything, and it is not the last completed run of its program, from which others may go on.
UPDATE runs SET removed_at = :at::bigint, epoch = epoch + 1, owner = '', residue = '[]', origin = '{}' FROM json_array_elements(:runs::json) AS given (value)
WHERE runs.run_id = given.value ->> 0 AND entry_count = (given.value ->> 1)::bigint AND archive = given.value ->> 2
  AND removed_at IS NULL AND status IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  AND NOT EXISTS (SELECT 1 FROM instructions WHERE instructions.run_id = runs.run_id AND answer IS NULL)
  AND (status <> 'completed' OR EXISTS (SELECT 1 FROM runs AS later
    WHERE later.program = runs.program AND later.status = 'completed' AND later.removed_at IS NULL
      AND later.run_time >= runs.run_time
      AND (later.run_time, later.launched_at, later.generation) > (runs.run_time, runs.launched_at, runs.generation)))
RETURNING runs.run_id;

-- name: remove_entries
-- Their journals leave with them.
DELETE FROM journal WHERE run_id IN (SELECT json_array_elements_text($1::json));

-- name: remove_payloads
-- So do their payloads.
DELETE FROM payloads WHERE run_id IN (SELECT json_array_elements_text($1::json));

-- name: remove_stages
-- So do their stages' rows.
DELETE FROM stages WHERE run_id IN (SELECT json_array_elements_text($1::json));

-- name: remove_instructions
-- So does what people have told them.
DELETE FROM instructions WHERE run_id IN (SELECT json_array_elements_text($1::json)) AND answer IS NOT NULL;

-- name: remove_request_keys
-- So does by what could be guessed with what they were asked for.
UPDATE request_keys SET salt = '', digest = '' WHERE run_id IN (SELECT json_array_elements_text($1::json));

-- name: remove_objects
-- So is to leave all that they have in a bucket.
INSERT INTO objects_due (run_id, before_seq) SELECT value, 0 FROM json_array_elements_text($1::json) AS given (value);

-- name: insert_request_key
-- The run that was asked for under a key comes to be together with it, so that the same request makes no other.
INSERT INTO request_keys (program, request_key, run_id, salt, digest, asked_at)
SELECT program, request_key, run_id, salt, digest, asked_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[])
  AS given (program, request_key, run_id, salt, digest, asked_at);

-- name: select_request_key
-- What was asked for under a key.
SELECT run_id, salt, digest FROM request_keys WHERE program = $1 AND request_key = $2;

-- name: delete_request_keys
-- Some of those that are older than they need be kept.
DELETE FROM request_keys WHERE (program, request_key) IN (
  SELECT program, request_key FROM request_keys WHERE asked_at < $1 ORDER BY asked_at LIMIT $2)
RETURNING 1;

-- name: insert_token
-- Somebody may ask from now on. Of the secret only the digest is kept.
INSERT INTO tokens (token_id, name, role, digest, made_at, made_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: select_token
-- One of them.
SELECT token_id, name, role, digest, made_at, made_by, expires_at, used_at, revoked_at, revoked_by FROM tokens
WHERE token_id = $1;

-- name: select_tokens
-- All of them, the newest first.
SELECT token_id, name, role, digest, made_at, made_by, expires_at, used_at, revoked_at, revoked_by FROM tokens
ORDER BY made_at DESC, token_id;

-- name: select_has_tokens
-- Whether anybody was ever given one.
SELECT 1 FROM tokens LIMIT 1;

-- name: note_token_used
-- When it was used last.
UPDATE tokens SET used_at = $1 WHERE token_id = $2;

-- name: revoke_token
-- It is worth nothing any more.
UPDATE tokens SET revoked_at = $1, revoked_by = $2 WHERE token_id = $3 AND revoked_at IS NULL RETURNING 1;
