-- Repositories, sessions and secrets become rows of the same queue as messages, each in a lane of its
-- own: a lane is the queue of one subject and one kind.

-- The tables of lanes and totals are made anew, as in schema 2, because ALTER TABLE would check, and
-- rewrite, every view and trigger of the database, which may be a daemon's. For the same reason the
-- column that says how a payload is encrypted keeps its first name, "protection": its table may hold a
-- gigabyte, which a copy would need a second time.
CREATE TABLE levi_lanes_before AS
    SELECT lane, session_id, attempts, due_at, reason_code, reason_detail FROM levi_lanes;
DROP TABLE levi_lanes;
CREATE TABLE levi_lanes (
    lane          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: a late answer must find no other lane
    kind          INTEGER NOT NULL,                  -- 0 repository, 1 session, 2 secret, 3 messages
    subject       TEXT    NOT NULL,                  -- the id of the repository or session
    repository_id TEXT,                              -- the repository that a session waits for
    blocked_by    INTEGER,                           -- the parent's lane while that has rows, pending or parked
    attempts      INTEGER NOT NULL,
    due_at        INTEGER,                           -- ms since the epoch; NULL exactly if no row is pending
    reason_code   TEXT,
    reason_detail TEXT,
    UNIQUE (kind, subject)
) STRICT;
INSERT INTO levi_lanes (lane, kind, subject, attempts, due_at, reason_code, reason_detail)
    SELECT lane, 3, session_id, attempts, due_at, reason_code, reason_detail FROM levi_lanes_before;
DROP TABLE levi_lanes_before;

-- The totals count every row again: those of schema 2 left out rows with ids above counted_to.
CREATE TABLE levi_totals_before AS
    SELECT pending_rows + (SELECT count(*) FROM levi_outbox WHERE id > counted_to) AS pending_rows,
        pending_bytes + (SELECT CAST(total(bytes) AS INTEGER) FROM levi_outbox WHERE id > counted_to) AS pending_bytes,
        parked_rows, parked_bytes, lanes
    FROM levi_totals WHERE id = 1;
DROP TABLE levi_totals;

-- Tasks had names such as session/ID. They did not record when they were enqueued: the time at which a
-- task was due is the nearest to it, and for a parked one the time of the newest row.
INSERT INTO levi_lanes (kind, subject, repository_id, attempts, due_at, reason_code, reason_detail)
    SELECT 0, substr(name, 12), NULL, attempts, due_at, reason_code, reason_detail
    FROM levi_tasks WHERE name GLOB 'repository/*'
    UNION ALL
    SELECT 1, substr(name, 9), CASE WHEN parent GLOB 'repository/*' THEN substr(parent, 12) END,
        attempts, due_at, reason_code, reason_detail
    FROM levi_tasks WHERE name GLOB 'session/*'
    UNION ALL
    SELECT 2, substr(name, 8), NULL, attempts, due_at, reason_code, reason_detail
    FROM levi_tasks WHERE name GLOB 'secret/*';
INSERT INTO levi_outbox (lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload)
    SELECT l.lane, 0, t.version, length(t.payload), 2,
        coalesce(t.due_at, (SELECT max(enqueued_at) FROM levi_outbox), 0),
        substr(t.name, 1, instr(t.name, '/') - 1), t.payload
    FROM levi_lanes AS l JOIN levi_tasks AS t
        ON t.name = CASE l.kind WHEN 0 THEN 'repository/' WHEN 1 THEN 'session/' WHEN 2 THEN 'secret/' END || l.subject
    ORDER BY l.lane;
INSERT INTO levi_parked (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id,
        parked_at, reason_code, reason_detail, payload)
    SELECT o.id, o.lane, 0, o.version, o.bytes, 2, o.enqueued_at, o.message_id, o.enqueued_at,
        coalesce(l.reason_code, 'unknown'), coalesce(l.reason_detail, ''), o.payload
    FROM levi_lanes AS l CROSS JOIN levi_outbox AS o ON o.lane = l.lane
    WHERE l.kind < 3 AND l.due_at IS NULL;
DELETE FROM levi_outbox WHERE id IN
    (SELECT p.id FROM levi_lanes AS l CROSS JOIN levi_parked AS p ON p.lane = l.lane WHERE l.kind < 3);
UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL WHERE kind < 3 AND due_at IS NULL;
DROP TABLE levi_tasks;

CREATE TABLE levi_totals (
    id                  INTEGER PRIMARY KEY CHECK (id = 1),
    pending_rows        INTEGER NOT NULL, -- messages
    pending_bytes       INTEGER NOT NULL, -- of all pending rows
    parked_rows         INTEGER NOT NULL, -- messages
    parked_bytes        INTEGER NOT NULL, -- of all parked rows
    control_rows        INTEGER NOT NULL,
    parked_control_rows INTEGER NOT NULL,
    lanes               INTEGER NOT NULL  -- those with pending rows
) STRICT;
INSERT INTO levi_totals
    SELECT 1, b.pending_rows, b.pending_bytes + o.bytes, b.parked_rows, b.parked_bytes + p.bytes,
        o.control_rows, p.control_rows, b.lanes + o.control_rows
    FROM levi_totals_before AS b,
        (SELECT count(*) AS control_rows, CAST(total(bytes) AS INTEGER) AS bytes
            FROM levi_lanes AS l CROSS JOIN levi_outbox AS o ON o.lane = l.lane WHERE l.kind < 3) AS o,
        (SELECT count(*) AS control_rows, CAST(total(bytes) AS INTEGER) AS bytes
            FROM levi_lanes AS l CROSS JOIN levi_parked AS p ON p.lane = l.lane WHERE l.kind < 3) AS p;
DROP TABLE levi_totals_before;

-- Lanes that could be due, in the order in which they are asked for. A blocked lane is not in here, so
-- that a thousand sessions that wait for their row on the server cost the query nothing. (blocked_by is
-- always NULL in here; it is a column because SQLite would look it up in the table otherwise.)
CREATE INDEX levi_lanes_due ON levi_lanes (due_at, lane, blocked_by) WHERE due_at IS NOT NULL AND blocked_by IS NULL;
CREATE INDEX levi_lanes_empty ON levi_lanes (lane) WHERE due_at IS NULL;
CREATE INDEX levi_lanes_blocked ON levi_lanes (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE INDEX levi_lanes_repository ON levi_lanes (repository_id) WHERE repository_id IS NOT NULL;
