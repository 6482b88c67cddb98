-- What PostgreSQL alone needs: it has many orchestrators, each as long as its lease lasts.

-- name: insert_orchestrator
-- Another orchestrator is there, with a turn that nobody else has who is.
INSERT INTO orchestrators (orchestrator_id, host, pid, boot_id, started_at, uptime, clew, unsafe, lease_until, turn)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9::bigint * interval '1 millisecond',
  coalesce((SELECT min(free) FROM generate_series(0, $10::bigint - 1) AS free WHERE NOT EXISTS
    (SELECT 1 FROM orchestrators WHERE turn = free AND lease_until >= clock_timestamp())), 0)
RETURNING turn;

-- name: renew_lease
-- It is there still.
UPDATE orchestrators SET lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond'
WHERE orchestrator_id = $1 RETURNING 1;

-- name: delete_orchestrator
-- It is there no more.
DELETE FROM orchestrators WHERE orchestrator_id = $1;

-- name: forget_orchestrators
-- Those that have been gone for a day.
DELETE FROM orchestrators WHERE lease_until < clock_timestamp() - interval '1 day';

-- name: select_last_orchestrator
-- Who came last, as far as nobody has left.
SELECT host, pid, boot_id, started_at, uptime, clew FROM orchestrators ORDER BY started_at DESC LIMIT 1;

-- name: select_orchestrators
-- Who is there, and until when.
SELECT host, pid, boot_id, started_at, uptime, clew FROM orchestrators
WHERE lease_until >= clock_timestamp() ORDER BY started_at, orchestrator_id;
