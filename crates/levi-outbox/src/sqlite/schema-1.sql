-- One queue per session. Attempts and due time belong to the lane and not to its rows, because every
-- later row of a session waits for the first one anyway.
CREATE TABLE levi_lanes (
    lane          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: a late answer must find no other lane
    session_id    TEXT    NOT NULL UNIQUE,
    row_count     INTEGER NOT NULL,                  -- rows in levi_outbox
    attempts      INTEGER NOT NULL,
    due_at        INTEGER,                           -- ms since the epoch; NULL exactly if row_count = 0
    held          INTEGER NOT NULL,                  -- 1 while a task that is not parked holds the session
    reason_code   TEXT,
    reason_detail TEXT
) STRICT;

-- Lanes that could be due, in the order in which they are asked for. A held lane is not in here, so
-- that a thousand sessions that wait for their row on the server cost the query nothing.
CREATE INDEX levi_lanes_due ON levi_lanes (due_at, lane) WHERE due_at IS NOT NULL AND held = 0;

-- Lanes without rows: they stay only as long as they have parked rows or an answer is outstanding.
CREATE INDEX levi_lanes_empty ON levi_lanes (lane) WHERE due_at IS NULL;

-- The payload comes last, so that a scan of heads never reads an overflow page.
CREATE TABLE levi_outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    lane            INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    bytes           INTEGER NOT NULL, -- length of payload
    protection      INTEGER NOT NULL, -- 0 session key, 1 database key
    enqueued_at     INTEGER NOT NULL, -- ms since the epoch
    message_id      TEXT    NOT NULL,
    payload         BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX levi_outbox_place ON levi_outbox (lane, sequence_number);
CREATE INDEX levi_outbox_at_rest ON levi_outbox (lane, sequence_number) WHERE protection = 1;

-- Parked rows. They have a table of their own so that they never slow their lane.
CREATE TABLE levi_parked (
    id              INTEGER PRIMARY KEY,
    lane            INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    protection      INTEGER NOT NULL,
    enqueued_at     INTEGER NOT NULL,
    message_id      TEXT    NOT NULL,
    parked_at       INTEGER NOT NULL,
    reason_code     TEXT    NOT NULL,
    reason_detail   TEXT    NOT NULL,
    payload         BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX levi_parked_place ON levi_parked (lane, sequence_number);

CREATE TABLE levi_tasks (
    name          TEXT    NOT NULL PRIMARY KEY,
    version       INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    due_at        INTEGER,          -- NULL while parked
    waits         INTEGER NOT NULL, -- 1 while the parent is there
    parent        TEXT,
    holds         TEXT,             -- a session_id
    reason_code   TEXT,
    reason_detail TEXT,
    payload       BLOB    NOT NULL
) STRICT;

CREATE INDEX levi_tasks_due ON levi_tasks (due_at, name) WHERE due_at IS NOT NULL AND waits = 0;
CREATE INDEX levi_tasks_parent ON levi_tasks (parent) WHERE parent IS NOT NULL;
CREATE INDEX levi_tasks_holds ON levi_tasks (holds) WHERE holds IS NOT NULL AND due_at IS NOT NULL;

-- Counts, written in the transaction that changes them.
CREATE TABLE levi_totals (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    pending_rows  INTEGER NOT NULL,
    pending_bytes INTEGER NOT NULL,
    parked_rows   INTEGER NOT NULL,
    parked_bytes  INTEGER NOT NULL,
    lanes         INTEGER NOT NULL, -- those with rows
    tasks         INTEGER NOT NULL
) STRICT;

INSERT INTO levi_totals VALUES (1, 0, 0, 0, 0, 0, 0);
