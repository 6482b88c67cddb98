-- What a SQLite file alone needs: it has one orchestrator at a time, and no leases.

-- name: insert_orchestrator
-- Another orchestrator drives: whoever did before is fenced from here on.
INSERT INTO orchestrators (host, pid, boot_id, started_at, uptime, clew, unsafe) VALUES (?, ?, ?, ?, ?, ?, ?)
RETURNING epoch;

-- name: forget_orchestrators
-- What lies far back is of no use, but for those that drove what was unsafe.
DELETE FROM orchestrators WHERE epoch <= ? AND unsafe = '{}';

-- name: select_epoch
-- Who may record: at the end of a table, so that it costs next to nothing.
SELECT max(epoch) FROM orchestrators;

-- name: select_orchestrator
-- Who drives, or did last.
SELECT host, pid, boot_id, started_at, uptime, clew FROM orchestrators ORDER BY epoch DESC LIMIT 1;

-- name: select_newest
-- The newest moment on record.
SELECT max(
  coalesce((SELECT json_extract(content, '$.at') FROM journal ORDER BY rowid DESC LIMIT 1), 0),
  coalesce((SELECT max(launched_at) FROM runs), 0));
