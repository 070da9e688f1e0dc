-- A message that joins a queue writes its row and nothing else: no count in its lane, and the totals
-- only now and then.

-- Whether a lane has rows is what levi_outbox says; due_at is NULL exactly if it has none. The table is
-- made anew because ALTER TABLE DROP COLUMN would check, and rewrite, every view and trigger of the
-- database, which may be a daemon's.
CREATE TABLE levi_lanes_before AS
    SELECT lane, session_id, attempts, due_at, held, reason_code, reason_detail FROM levi_lanes;
DROP TABLE levi_lanes;
CREATE TABLE levi_lanes (
    lane          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: a late answer must find no other lane
    session_id    TEXT    NOT NULL UNIQUE,
    attempts      INTEGER NOT NULL,
    due_at        INTEGER,                           -- ms since the epoch; NULL exactly if no row is pending
    held          INTEGER NOT NULL,                  -- 1 while a task that is not parked holds the session
    reason_code   TEXT,
    reason_detail TEXT
) STRICT;
INSERT INTO levi_lanes SELECT * FROM levi_lanes_before;
DROP TABLE levi_lanes_before;
CREATE INDEX levi_lanes_due ON levi_lanes (due_at, lane) WHERE due_at IS NOT NULL AND held = 0;
CREATE INDEX levi_lanes_empty ON levi_lanes (lane) WHERE due_at IS NULL;

-- Rows with higher ids are not in the totals yet: there are few, and the reader adds them.
ALTER TABLE levi_totals ADD COLUMN counted_to INTEGER NOT NULL DEFAULT 0;
UPDATE levi_totals SET counted_to =
    (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'levi_outbox');
