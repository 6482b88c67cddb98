-- Each query has a name and a sentence. The names are the same, in the same order, for every database.

-- name: insert_program
-- A program version is kept once.
INSERT INTO programs (version, name, content, registered_at) VALUES (?, ?, ?, ?) ON CONFLICT (version) DO NOTHING;

-- name: insert_plan_block
-- The chain of a version is kept once, too.
INSERT INTO plan_blocks (version, block_index, content, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: select_program
-- A version's content.
SELECT name, content FROM programs WHERE version = ?;

-- name: select_plan_blocks
-- A version's chain, in order.
SELECT block_index, content, hash FROM plan_blocks WHERE version = ? ORDER BY block_index;

-- name: select_last_version
-- The version of a program that ran last, other than the given one where that ran too.
SELECT version FROM runs WHERE program = ? ORDER BY launched_at DESC, run_id DESC LIMIT 1;

-- name: insert_run
-- A run comes to be, with its first entries, in one transaction.
INSERT INTO runs (run_id, program, version, run_name, run_time, launched_at, requested_by, generation, origin,
  backfill, follows, is_due, needs_place, status, epoch, owner, entry_count, head)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, 0, '');

-- name: select_existing
-- The run in whose place another was to be created; not one that this transaction itself has just begun.
SELECT run_id FROM runs
WHERE (run_id = :run_id AND entry_count > 0)
   OR (run_id <> :run_id AND program = :program AND (run_name = :run_name
       OR (run_time = :run_time AND generation = :generation)));

-- name: insert_stage
-- A stage's row in the tracker, from the first moment on.
INSERT INTO stages (run_id, position, name, block, status) VALUES (?, ?, ?, ?, 'pending');

-- name: advance_run
-- Every record moves its run's row on, and only the holder of the epoch can: the fence. It names no indexed
-- column, since SQLite writes an index anew for every column that is named, changed or not.
UPDATE runs SET entry_count = ?, head = ? WHERE run_id = ? AND epoch = ? AND entry_count = ?;

-- name: update_run
-- The run's row follows what its entries say, where that changed.
UPDATE runs SET status = ?, cause = ?, ended_at = ?, residue = ? WHERE run_id = ?;

-- name: launch_run
-- A run that was queued has begun. By itself, since it names an indexed column.
UPDATE runs SET launched_at = ? WHERE run_id = ?;

-- name: update_stage
-- A stage's row follows what its entries say.
UPDATE stages SET pass = ?, status = ?, attempts = ?, outcome = ?, error_kind = ?, rollback_attempts = ?,
  started_at = ?, ended_at = ?, result_seq = ?
WHERE run_id = ? AND position = ? AND item = -1;

-- name: delete_items
-- A new pass of a stage makes its items anew.
DELETE FROM stages WHERE run_id = ? AND position = ? AND item >= 0;

-- name: put_item
-- An item's row follows what its entries say, from the moment on in which it is made.
INSERT INTO stages (run_id, position, name, block, item, pass, status, attempts, outcome, error_kind,
  rollback_attempts, started_at, ended_at, result_seq)
SELECT run_id, position, name, block, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
FROM stages WHERE run_id = ?1 AND position = ?2 AND item = -1
ON CONFLICT (run_id, position, item) DO UPDATE SET pass = excluded.pass, status = excluded.status,
  attempts = excluded.attempts, outcome = excluded.outcome, error_kind = excluded.error_kind,
  rollback_attempts = excluded.rollback_attempts, started_at = excluded.started_at, ended_at = excluded.ended_at,
  result_seq = excluded.result_seq;

-- name: insert_entry
-- The journal only grows.
INSERT INTO journal (run_id, seq, content, hash) VALUES (?, ?, ?, ?);

-- name: insert_payload
-- What an entry names by digest stands apart.
INSERT INTO payloads (run_id, seq, salt, content, location) VALUES (?, ?, ?, ?, ?);

-- name: erase_payloads
-- All that the entries before one have said is gone.
DELETE FROM payloads WHERE run_id = ? AND seq < ?;

-- name: erase_instructions
-- And so is what people have told the run, but that they did.
UPDATE instructions SET content = '', why = '' WHERE run_id = ? AND answer IS NOT NULL;

-- name: erase_request_keys
-- By what it was asked for under a key could be guessed what with.
UPDATE request_keys SET salt = x'', digest = '' WHERE run_id = ?;

-- name: note_erased
-- The run's row says when.
UPDATE runs SET erased_at = ? WHERE run_id = ?;

-- name: insert_object_due
-- What stands in a bucket is to be deleted, too.
INSERT INTO objects_due (run_id, before_seq) VALUES (?, ?);

-- name: insert_leaf_due
-- A run that was created, or has settled, is to have a leaf in the tree.
INSERT INTO leaves_due (run_id, kind, entry_count, head) VALUES (?, ?, ?, ?);

-- name: insert_instruction
-- What a person tells a run waits until whoever drives it takes it up. Said again, where nobody knows, it is said once.
INSERT INTO instructions (instruction_id, run_id, content, said_at) VALUES (?, ?, ?, ?)
ON CONFLICT (instruction_id) DO NOTHING;

-- name: obey_instruction
-- An instruction is obeyed in the transaction of the entry that says it.
UPDATE instructions SET answer = 'obeyed', seq = ? WHERE instruction_id = ? AND answer IS NULL;

-- name: refuse_instruction
-- Or it is refused, and changes nothing; by nobody whom another orchestrator has fenced. Nothing is kept of what was
-- said to a run that was removed.
UPDATE instructions SET answer = 'refused', why = ?, content = CASE
  WHEN EXISTS (SELECT 1 FROM runs WHERE runs.run_id = instructions.run_id AND removed_at IS NOT NULL) THEN '' ELSE content END
WHERE instruction_id = ? AND answer IS NULL AND ? IS (SELECT epoch FROM runs WHERE runs.run_id = instructions.run_id);

-- name: select_instructions
-- What waits to be taken up, in the order in which it was said.
SELECT instruction_id, run_id, content FROM instructions WHERE answer IS NULL ORDER BY said_at, rowid;

-- name: select_instruction_content
-- What somebody has told a run, under an id that is known.
SELECT content FROM instructions WHERE instruction_id = ?;

-- name: select_instruction
-- What became of one.
SELECT answer, why, seq FROM instructions WHERE instruction_id = ?;

-- name: select_to_drive
-- Of whose runs, and of which programs, there are any that nobody drives who is there still. By steps from one owner, and
-- from one program, to the next: it costs the same however many runs there are.
WITH RECURSIVE owners (owner) AS (
  SELECT min(owner) FROM runs WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
  UNION ALL
  SELECT (SELECT min(runs.owner) FROM runs WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND runs.owner > owners.owner)
  FROM owners WHERE owners.owner IS NOT NULL),
gone (owner) AS (
  SELECT owner FROM owners WHERE owner IS NOT NULL AND owner <> :me
  AND NOT EXISTS (SELECT 1 FROM orchestrators WHERE epoch = CAST(owners.owner AS INTEGER)
    AND epoch = (SELECT max(epoch) FROM orchestrators))),
pairs (owner, program) AS (
  SELECT gone.owner, (SELECT min(runs.program) FROM runs WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND runs.owner = gone.owner)
  FROM gone
  UNION ALL
  SELECT pairs.owner, (SELECT min(runs.program) FROM runs WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND runs.owner = pairs.owner AND runs.program > pairs.program)
  FROM pairs WHERE pairs.program IS NOT NULL)
SELECT owner, program FROM pairs WHERE program IS NOT NULL ORDER BY program <= :after, program, owner LIMIT :limit;

-- name: claim_runs
-- Some of these become another orchestrator's, the oldest first; whoever had them is fenced.
WITH chosen AS (
  SELECT run_id FROM runs
  WHERE needs_place = 0 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND owner = :owner AND program = :program AND instr(:besides, version) = 0
    AND instr(:besides, run_id) = 0
    AND NOT EXISTS (SELECT 1 FROM orchestrators WHERE epoch = CAST(:owner AS INTEGER)
    AND epoch = (SELECT max(epoch) FROM orchestrators))
  ORDER BY launched_at LIMIT :limit)
UPDATE runs SET owner = :me, epoch = epoch + 1 WHERE run_id IN (SELECT run_id FROM chosen)
RETURNING run_id, version, origin, epoch, status;

-- name: claim_run
-- One run becomes another orchestrator's, unless somebody drives it who is there still.
UPDATE runs SET owner = :me, epoch = epoch + 1
WHERE run_id = :run_id AND removed_at IS NULL AND (owner IN ('', :me)
  OR NOT EXISTS (SELECT 1 FROM orchestrators WHERE epoch = CAST(runs.owner AS INTEGER)
    AND epoch = (SELECT max(epoch) FROM orchestrators)))
RETURNING run_id, version, origin, epoch, status;

-- name: select_with_places
-- The programs with runs that need places, of which one has not got all, and whose places nobody else gives who is there
-- still.
WITH RECURSIVE found (program) AS (
  SELECT min(program) FROM runs WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
  UNION ALL
  SELECT (SELECT min(runs.program) FROM runs WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND runs.program > found.program)
  FROM found WHERE found.program IS NOT NULL)
SELECT program FROM found WHERE program IS NOT NULL
  AND EXISTS (SELECT 1 FROM runs WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back')
    AND runs.program = found.program AND runs.owner <> :me)
  AND NOT EXISTS (SELECT 1 FROM gates WHERE gates.program = found.program AND gates.owner <> :me
    AND EXISTS (SELECT 1 FROM orchestrators WHERE epoch = CAST(gates.owner AS INTEGER)
      AND epoch = (SELECT max(epoch) FROM orchestrators)));

-- name: select_gate_is_free
-- Whether nobody else gives the places of a program who is there still: there is nobody else.
SELECT true;

-- name: take_gate
-- Whoever gives the places of a program drives its runs; unless somebody does who is there still.
INSERT INTO gates (program, owner) VALUES (:program, :me)
ON CONFLICT (program) DO UPDATE SET owner = excluded.owner
WHERE gates.owner = excluded.owner OR NOT EXISTS (SELECT 1 FROM orchestrators WHERE epoch = CAST(gates.owner AS INTEGER)
    AND epoch = (SELECT max(epoch) FROM orchestrators))
RETURNING 1;

-- name: claim_with_places
-- Those that have begun become the orchestrator's who gives the places of their program; those that are queued by others
-- are nobody's: who has queued them gives none a place any more.
UPDATE runs SET owner = CASE WHEN status = 'queued' THEN '' ELSE :me END, epoch = epoch + 1
WHERE needs_place = 1 AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back') AND (status <> 'queued' OR owner <> '')
  AND program = :program AND owner <> :me
RETURNING run_id, version, origin, epoch, status;

-- name: release_some
-- Some runs are anybody's.
UPDATE runs SET owner = '' WHERE run_id IN (SELECT value FROM json_each(:run_ids)) AND owner = :me;

-- name: select_owned
-- What an orchestrator drives, as far as is on record.
SELECT run_id, epoch FROM runs
WHERE owner = :me AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');

-- name: select_others
-- Whether anybody else is there who drives: never.
SELECT false;

-- name: select_driven
-- The runs that others drive who are there: there are none beside the one that may open the file to drive.
SELECT run_id FROM runs WHERE false;

-- name: release_runs
-- What it drives is anybody's.
UPDATE runs SET owner = ''
WHERE owner = :me AND (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'paused' OR status = 'rolling_back');

-- name: release_gate
-- Anybody may give the places of a program.
DELETE FROM gates WHERE owner = :me AND program = :program;

-- name: release_gates
-- And so are the places that it gives.
DELETE FROM gates WHERE owner = :me;

-- name: select_head
-- Where a run's journal ends.
SELECT epoch, entry_count, head FROM runs WHERE run_id = ?;

-- name: select_generation
-- The last generation of a program at one scheduled time.
SELECT max(generation) FROM runs WHERE program = ? AND run_time = ?;

-- name: select_unsettled
-- The runs that are not at rest, oldest first.
SELECT run_id, version, epoch, status FROM runs
WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped') ORDER BY launched_at, run_id;

-- name: select_queued
-- The first of a program's queue: those that make up for nothing, and those that do.
SELECT * FROM (
  SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
  WHERE program = ?1 AND (backfill <> '') = 0 AND status = 'queued'
    AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  ORDER BY run_time, generation LIMIT ?2)
UNION ALL SELECT * FROM (
  SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
  WHERE program = ?1 AND (backfill <> '') = 1 AND status = 'queued'
    AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  ORDER BY run_time, generation LIMIT ?2);

-- name: select_under_way
-- The runs of a program that have begun and are not at rest for good.
SELECT run_id, version, origin, run_time, generation, is_due, backfill, status FROM runs
WHERE program = ? AND status <> 'queued'
  AND status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped');

-- name: change_count
-- Changes when another connection has changed anything.
PRAGMA data_version;

-- name: select_run
-- One run's row.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs WHERE run_id = ?;

-- name: select_last_run
-- A program's run that is latest by scheduled time, then by launch: of all, or of those for one time, or in one status,
-- and never the one that asks.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs
WHERE program = :program AND (:run_time IS NULL OR run_time = :run_time) AND (:status IS NULL OR status = :status)
  AND run_id <> :besides
ORDER BY run_time DESC, launched_at DESC, generation DESC LIMIT 1;

-- name: select_run_ids
-- The runs whose id or name begins so: what a person types.
SELECT run_id FROM runs WHERE run_id LIKE ? ESCAPE '\' OR run_name = ? ORDER BY launched_at DESC LIMIT 3;

-- name: select_runs
-- Runs, newest first, before a cursor.
SELECT run_id, program, version, run_name, run_time, launched_at, ended_at, status, cause, requested_by, generation,
  residue, epoch, entry_count, head, origin, backfill, follows, is_due, owner, erased_at, removed_at, archive
FROM runs
WHERE (:program IS NULL OR program = :program) AND (:status IS NULL OR status = :status)
  AND (launched_at, run_id) < (:before, :before_run)
ORDER BY launched_at DESC, run_id DESC LIMIT :limit;

-- name: select_all_run_ids
-- Every run, oldest first.
SELECT run_id FROM runs ORDER BY launched_at, run_id;

-- name: select_stages
-- A run's stages in the plan's order, each followed by its items.
SELECT name, item, block, pass, status, attempts, outcome, error_kind, rollback_attempts, started_at, ended_at, result_seq
FROM stages WHERE run_id = ? ORDER BY position, item;

-- name: select_journal
-- A run's entries after a given one.
SELECT content, hash FROM journal WHERE run_id = ? AND seq > ? ORDER BY seq;

-- name: select_payloads
-- A run's payloads.
SELECT seq, salt, content, location FROM payloads WHERE run_id = ? ORDER BY seq;

-- name: select_payload
-- One payload.
SELECT salt, content, location FROM payloads WHERE run_id = ? AND seq = ?;

-- name: select_schedules
-- What is live, and what was.
SELECT program, version, live_since, settled_until, source, origin, zones, retired_at FROM schedules ORDER BY program;

-- name: select_schedule
-- One of them.
SELECT program, version, live_since, settled_until, source, origin, zones, retired_at FROM schedules WHERE program = ?;

-- name: select_origins
-- Where the code lies of all that may run yet: runs that have not settled, programs that are live, backfills that go on.
SELECT origin FROM runs WHERE status NOT IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
UNION SELECT origin FROM schedules WHERE retired_at IS NULL
UNION SELECT origin FROM backfills WHERE status IN ('running', 'paused', 'stopped');

-- name: put_schedule
-- A program, or another version of it, is live. What came to be due while it was not is no business of anybody's.
INSERT INTO schedules (program, version, live_since, settled_until, source, origin, zones)
VALUES (:program, :version, :at, :at - 1, :source, :origin, :zones)
ON CONFLICT (program) DO UPDATE SET version = excluded.version, source = excluded.source, origin = excluded.origin,
  zones = excluded.zones, retired_at = NULL,
  settled_until = iif(retired_at IS NULL, settled_until, max(settled_until, excluded.settled_until));

-- name: retire_schedule
-- A program is not live any more.
UPDATE schedules SET retired_at = ? WHERE program = ? AND retired_at IS NULL;

-- name: settle_schedule
-- All due times up to another moment are on record; unless somebody was faster, or it is not live any more.
UPDATE schedules SET settled_until = ? WHERE program = ? AND settled_until = ? AND retired_at IS NULL RETURNING 1;

-- name: select_pauses
-- When a program was paused, as far as it lasted beyond a moment, the last one first.
SELECT paused_at, paused_by, paused_why, unpaused_at FROM program_pauses
WHERE program = ? AND (unpaused_at IS NULL OR unpaused_at > ?) ORDER BY paused_at DESC;

-- name: pause_program
-- Somebody pauses a program that is not paused.
INSERT INTO program_pauses (program, paused_at, paused_by, paused_why) VALUES (?, ?, ?, ?)
ON CONFLICT (program) WHERE unpaused_at IS NULL DO NOTHING RETURNING 1;

-- name: unpause_program
-- Somebody lets it go on.
UPDATE program_pauses SET unpaused_at = max(?, paused_at), unpaused_by = ?, unpaused_why = ?
WHERE program = ? AND unpaused_at IS NULL RETURNING 1;

-- name: count_pauses
-- Changes whenever a program is paused or goes on.
SELECT count(*), count(unpaused_at) FROM program_pauses;

-- name: select_past_runs
-- The last run of each scheduled time of a program within a range.
SELECT run_time, run_id, status FROM runs AS r
WHERE program = ?1 AND run_time BETWEEN ?2 AND ?3 AND generation =
  (SELECT max(generation) FROM runs WHERE program = ?1 AND run_time = r.run_time)
ORDER BY run_time;

-- name: insert_backfill
-- Somebody wants past times to be run.
INSERT INTO backfills (backfill_id, program, version, from_time, to_time, which, run_order, at_once, stops_on_failure,
  variables, origin, made_at, made_by, made_why, status, changed_at, changed_by, changed_why)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_backfill_time
-- One of these times.
INSERT INTO backfill_times (backfill_id, position, run_time, follows) VALUES (?, ?, ?, ?);

-- name: select_backfills
-- Every backfill, the newest first; or those that are still open.
SELECT backfill_id, program, version, from_time, to_time, which, run_order, at_once, stops_on_failure, variables, origin,
  made_at, made_by, made_why, status, changed_at, changed_by, changed_why
FROM backfills WHERE (NOT :open OR status IN ('running', 'paused')) AND (:id IS NULL OR backfill_id LIKE :id || '%')
ORDER BY made_at DESC, backfill_id LIMIT :limit;

-- name: count_backfill_times
-- How far a backfill has come: the statuses of its runs; empty for times that have none yet.
SELECT coalesce(r.status, ''), count(*) FROM backfill_times AS t LEFT JOIN runs AS r ON r.run_id = t.run_id
WHERE t.backfill_id = ? GROUP BY 1 ORDER BY 1;

-- name: select_backfill_times
-- The first of its times that have no run yet; by the index, so that those that have one are not looked through.
SELECT position, run_time, follows FROM backfill_times INDEXED BY backfill_times_by_run
WHERE backfill_id = ? AND run_id IS NULL ORDER BY position LIMIT ?;

-- name: select_backfill_runs
-- Its times with their runs, in order.
SELECT t.run_time, t.run_id, r.status, t.follows FROM backfill_times AS t LEFT JOIN runs AS r ON r.run_id = t.run_id
WHERE t.backfill_id = ? ORDER BY t.position LIMIT ?;

-- name: select_backfill_unsettled
-- The runs that were made for a backfill and have not settled.
SELECT run_id, status FROM runs WHERE backfill = ? AND backfill <> '' AND status IN
  ('queued', 'running', 'waiting', 'paused', 'held', 'rolling_back', 'rollback_failed') ORDER BY run_id;

-- name: count_backfill_failures
-- How many of its runs have settled without completing, and nobody has accepted that. Runs first: few have.
SELECT count(*) FROM runs AS r CROSS JOIN backfill_times AS t ON t.backfill_id = r.backfill AND t.run_id = r.run_id
WHERE r.backfill = ? AND r.backfill <> '' AND r.status IN ('failed', 'rolled_back', 'missed', 'skipped')
  AND NOT t.is_accepted;

-- name: accept_backfill_failures
-- Somebody lets it go on, whatever has failed so far.
UPDATE backfill_times SET is_accepted = 1 WHERE backfill_id = ?1 AND run_id IN (
  SELECT run_id FROM runs WHERE backfill = ?1 AND backfill <> ''
    AND status IN ('failed', 'rolled_back', 'missed', 'skipped'));

-- name: cancel_backfill_runs
-- Those of its runs that are queued are told to be cancelled, each once.
INSERT INTO instructions (instruction_id, run_id, content, said_at)
SELECT 'backfill-' || run_id, run_id, ?2, ?3 FROM runs WHERE backfill = ?1 AND backfill <> '' AND status = 'queued'
ON CONFLICT DO NOTHING;

-- name: take_backfill_time
-- A run is made, or was, for one of the times of a backfill that runs.
UPDATE backfill_times SET run_id = ?1 WHERE backfill_id = ?2 AND position = ?3 AND run_id IS NULL
  AND EXISTS (SELECT 1 FROM backfills WHERE backfill_id = ?2 AND status = 'running') RETURNING 1;

-- name: change_backfill
-- It is paused, goes on, or is over; from one of the statuses in which that can be.
UPDATE backfills SET status = :status, changed_at = :at, changed_by = :by, changed_why = :why
WHERE backfill_id = :id AND instr(:before, ' ' || status || ' ') > 0 RETURNING 1;

-- name: select_leaves_due
-- The leaves that have no place in the tree yet, in the order in which they get one.
SELECT position, run_id, kind, entry_count, head FROM leaves_due ORDER BY position LIMIT ?;

-- name: select_leaves_due_of
-- Those of one run.
SELECT run_id, kind, entry_count, head FROM leaves_due WHERE run_id = ? ORDER BY position;

-- name: select_tree
-- Which tree it is, where it stands, and what of it was signed last.
SELECT origin, size, peaks, signed_size, signed_root, note FROM tree;

-- name: take_tree
-- The same, for whoever changes it: one at a time.
SELECT origin, size, peaks, signed_size, signed_root, note FROM tree;

-- name: insert_leaves
-- Leaves get the next places in the tree.
INSERT INTO leaves (leaf_index, run_id, kind, entry_count, head)
SELECT :size + row_number() OVER (ORDER BY position) - 1, run_id, kind, entry_count, head
FROM leaves_due WHERE position IN (SELECT value FROM json_each(:positions));

-- name: delete_leaves_due
-- They are not due any more.
DELETE FROM leaves_due WHERE position IN (SELECT value FROM json_each(:positions));

-- name: insert_tree_node
-- A node is complete, and stays what it is.
INSERT INTO tree_nodes (level, node_index, hash) VALUES (?, ?, ?);

-- name: grow_tree
-- Where the tree stands with the new leaves.
UPDATE tree SET size = ?, peaks = ?;

-- name: sign_tree
-- What is about to be signed; never less than was signed before.
UPDATE tree SET signed_size = ?, signed_root = ?, note = '';

-- name: keep_note
-- The signed checkpoint, as long as it is that of what was signed last.
UPDATE tree SET note = ? WHERE signed_size = ?;

-- name: select_leaves
-- Leaves from one on, in the tree's order.
SELECT leaf_index, run_id, kind, entry_count, head FROM leaves WHERE leaf_index >= ? ORDER BY leaf_index LIMIT ?;

-- name: select_leaves_of
-- The leaves of one run, and where they stand.
SELECT leaf_index, run_id, kind, entry_count, head FROM leaves WHERE run_id = ? ORDER BY leaf_index;

-- name: select_tree_nodes
-- Some nodes of one level, beside each other.
SELECT hash FROM tree_nodes WHERE level = ? AND node_index >= ? ORDER BY node_index LIMIT ?;

-- name: select_leaf_without_run
-- The first leaf whose run is not there any more.
SELECT run_id FROM leaves WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = leaves.run_id)
ORDER BY leaf_index LIMIT 1;

-- name: select_objects_due
-- Whose objects are to be deleted, in the order in which that was said.
SELECT position, run_id, before_seq FROM objects_due WHERE position > ? ORDER BY position LIMIT ?;

-- name: delete_object_due
-- That has been done.
DELETE FROM objects_due WHERE position = ?;

-- name: select_gone
-- Of some runs, until when what they said is gone; for good where all of them is.
SELECT run_id, CASE WHEN removed_at IS NULL THEN erased_at ELSE 9223372036854775807 END FROM runs
WHERE run_id IN (SELECT value FROM json_each(?)) AND coalesce(removed_at, erased_at) IS NOT NULL;

-- name: select_settled_after
-- Runs in the order of their launch, from one on, that have not been removed; and those that have, so that no look is long.
SELECT run_id, program, version, status, launched_at, ended_at, entry_count, removed_at, archive FROM runs
WHERE (launched_at, run_id) > (:launched_at, :run_id) ORDER BY launched_at, run_id LIMIT :limit;

-- name: name_archives
-- Where the exports of some runs are about to be put, of those that say yet what they said before.
UPDATE runs SET archive = given.value ->> 2 FROM json_each(?) AS given
WHERE runs.run_id = given.value ->> 0 AND archive = given.value ->> 1 AND removed_at IS NULL RETURNING run_id;

-- name: remove_runs
-- All of these is to leave but their rows, as long as each is what it was when it was looked at, nobody has told it
-- anything, and it is not the last completed run of its program, from which others may go on.
UPDATE runs SET removed_at = :at, epoch = epoch + 1, owner = '', residue = '[]', origin = '{}' FROM json_each(:runs) AS given
WHERE runs.run_id = given.value ->> 0 AND entry_count = given.value ->> 1 AND archive = given.value ->> 2
  AND removed_at IS NULL AND status IN ('completed', 'failed', 'rolled_back', 'missed', 'skipped')
  AND NOT EXISTS (SELECT 1 FROM instructions WHERE instructions.run_id = runs.run_id AND answer IS NULL)
  AND (status <> 'completed' OR EXISTS (SELECT 1 FROM runs AS later
    WHERE later.program = runs.program AND later.status = 'completed' AND later.removed_at IS NULL
      AND later.run_time >= runs.run_time
      AND (later.run_time, later.launched_at, later.generation) > (runs.run_time, runs.launched_at, runs.generation)))
RETURNING runs.run_id;

-- name: remove_entries
-- Their journals leave with them.
DELETE FROM journal WHERE run_id IN (SELECT value FROM json_each(?));

-- name: remove_payloads
-- So do their payloads.
DELETE FROM payloads WHERE run_id IN (SELECT value FROM json_each(?));

-- name: remove_stages
-- So do their stages' rows.
DELETE FROM stages WHERE run_id IN (SELECT value FROM json_each(?));

-- name: remove_instructions
-- So does what people have told them.
DELETE FROM instructions WHERE run_id IN (SELECT value FROM json_each(?)) AND answer IS NOT NULL;

-- name: remove_request_keys
-- So does by what could be guessed with what they were asked for.
UPDATE request_keys SET salt = x'', digest = '' WHERE run_id IN (SELECT value FROM json_each(?));

-- name: remove_objects
-- So is to leave all that they have in a bucket.
INSERT INTO objects_due (run_id, before_seq) SELECT value, 0 FROM json_each(?);

-- name: insert_request_key
-- The run that was asked for under a key comes to be together with it, so that the same request makes no other.
INSERT INTO request_keys (program, request_key, run_id, salt, digest, asked_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: select_request_key
-- What was asked for under a key.
SELECT run_id, salt, digest FROM request_keys WHERE program = ? AND request_key = ?;

-- name: delete_request_keys
-- Some of those that are older than they need be kept.
DELETE FROM request_keys WHERE (program, request_key) IN (
  SELECT program, request_key FROM request_keys WHERE asked_at < ? ORDER BY asked_at LIMIT ?)
RETURNING 1;

-- name: insert_token
-- Somebody may ask from now on. Of the secret only the digest is kept.
INSERT INTO tokens (token_id, name, role, digest, made_at, made_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: select_token
-- One of them.
SELECT token_id, name, role, digest, made_at, made_by, expires_at, used_at, revoked_at, revoked_by FROM tokens
WHERE token_id = ?;

-- name: select_tokens
-- All of them, the newest first.
SELECT token_id, name, role, digest, made_at, made_by, expires_at, used_at, revoked_at, revoked_by FROM tokens
ORDER BY made_at DESC, token_id;

-- name: select_has_tokens
-- Whether anybody was ever given one.
SELECT 1 FROM tokens LIMIT 1;

-- name: note_token_used
-- When it was used last.
UPDATE tokens SET used_at = ? WHERE token_id = ?;

-- name: revoke_token
-- It is worth nothing any more.
UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE token_id = ? AND revoked_at IS NULL RETURNING 1;
