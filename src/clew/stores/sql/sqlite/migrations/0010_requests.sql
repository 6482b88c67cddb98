-- Who may ask for what, and what was asked for under a key of the asker's.

CREATE TABLE tokens (
  token_id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,                 -- what it is for, in words of who made it
  role TEXT NOT NULL,                 -- viewer, operator or admin
  digest TEXT NOT NULL,               -- of its secret, which nobody has but who was given it
  made_at INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  expires_at INTEGER,                 -- NULL: never
  used_at INTEGER,                    -- the last time, to the minute; NULL: never
  revoked_at INTEGER,
  revoked_by TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- A request that is made again under its key is the same request.
CREATE TABLE request_keys (
  program TEXT NOT NULL,
  request_key TEXT NOT NULL,
  run_id TEXT NOT NULL,
  salt BLOB NOT NULL,
  digest TEXT NOT NULL,               -- of the salt and the variables that came with it
  asked_at INTEGER NOT NULL,
  PRIMARY KEY (program, request_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_keys_by_run ON request_keys (run_id);
CREATE INDEX request_keys_by_age ON request_keys (asked_at);
