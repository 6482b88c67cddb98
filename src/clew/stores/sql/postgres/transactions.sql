-- What PostgreSQL alone needs around a transaction.

-- name: begin_flush
-- All that a flush touches is found by its keys, whatever the planner takes the tables for, which were empty a moment
-- ago. In force for this transaction: nothing is asked of a connection that a pooler would not keep.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);

-- name: begin_transaction
-- Whoever is stopped in the midst of a transaction keeps nobody from going on.
SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $1, true);

-- name: tell_others
-- Whoever listens may look at once, if anything was changed. Nobody depends on it.
SELECT pg_notify('clew', '') WHERE pg_current_xact_id_if_assigned() IS NOT NULL;

-- name: select_advanced
-- Which of these runs could be moved on, and where the journal of each ends.
SELECT run_id, epoch, entry_count, head FROM runs WHERE run_id = ANY($1::text[]);
