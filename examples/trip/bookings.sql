-- The booking service's database: what was sold, to whom, for what; and every request, in order.

CREATE TABLE IF NOT EXISTS places (
    kind TEXT NOT NULL, day TEXT NOT NULL, places INTEGER NOT NULL CHECK (places >= 0),
    PRIMARY KEY (kind, day)
);
-- One row a key, for good. A tombstone is a key that was cancelled before anything was sold under it.
CREATE TABLE IF NOT EXISTS bookings (
    idempotency_key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('booked', 'cancelled', 'tombstone')),
    reference TEXT UNIQUE,
    traveller TEXT,
    day TEXT,
    cents INTEGER,
    CHECK ((status = 'tombstone') = (reference IS NULL))
);
CREATE INDEX IF NOT EXISTS bookings_by_day ON bookings (kind, day, status);
-- Money is never changed, only moved: a refund is a second line.
CREATE TABLE IF NOT EXISTS ledger (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    payer TEXT NOT NULL, payee TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0),
    idempotency_key TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_milliseconds INTEGER NOT NULL,
    act TEXT NOT NULL CHECK (act IN ('reserve', 'cancel')),
    kind TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    traveller TEXT,
    day TEXT,
    -- What changed something: booked, cancelled, tombstone_left. What had been done: booked_before,
    -- cancelled_before. What was refused: sold_out, no_credit, key_spent, key_of_another.
    outcome TEXT NOT NULL,
    reference TEXT
);
