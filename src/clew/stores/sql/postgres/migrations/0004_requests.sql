-- Who may ask for what, and what was asked for under a key of the asker's.

CREATE TABLE tokens (
  token_id text COLLATE "C" NOT NULL PRIMARY KEY,
  name text NOT NULL,                 -- what it is for, in words of who made it
  role text NOT NULL,                 -- viewer, operator or admin
  digest text NOT NULL,               -- of its secret, which nobody has but who was given it
  made_at bigint NOT NULL,
  made_by text NOT NULL,
  expires_at bigint,                 -- NULL: never
  used_at bigint,                    -- the last time, to the minute; NULL: never
  revoked_at bigint,
  revoked_by text NOT NULL DEFAULT ''
);

-- A request that is made again under its key is the same request.
CREATE TABLE request_keys (
  program text COLLATE "C" NOT NULL,
  request_key text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  salt bytea NOT NULL,
  digest text NOT NULL,               -- of the salt and the variables that came with it
  asked_at bigint NOT NULL,
  PRIMARY KEY (program, request_key)
);

CREATE INDEX request_keys_by_run ON request_keys (run_id);
CREATE INDEX request_keys_by_age ON request_keys (asked_at);
