-- A lane waits for the user for whom its rows were recorded, and is due for nobody else.
CREATE TABLE levi_users (
    user    INTEGER PRIMARY KEY, -- from 1; 0 stands for nobody: nobody has signed in yet
    user_id TEXT    NOT NULL UNIQUE
) STRICT;
ALTER TABLE levi_lanes ADD COLUMN user INTEGER NOT NULL DEFAULT 0;
-- Who signed in last: a row that names no user is this user's.
ALTER TABLE levi_totals ADD COLUMN user INTEGER NOT NULL DEFAULT 0;

-- Until when the server asked for no further request, about whatever lanes.
CREATE TABLE levi_pause (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    until INTEGER NOT NULL -- ms since the epoch
) STRICT;

-- Begins with the user, so that the lanes of others cost the query nothing.
DROP INDEX levi_lanes_due;
CREATE INDEX levi_lanes_due ON levi_lanes (user, due_at, lane, blocked_by) WHERE due_at IS NOT NULL AND blocked_by IS NULL;

-- Sessions whose row the server had once: it acknowledged the row, or a message of the session. One that is
-- missing there now was deleted elsewhere.
CREATE TABLE levi_sessions_sent (session_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Rows that an operator discarded before the server acknowledged them, since the outbox was opened: a caller
-- that waits for one must not be told that it arrived.
CREATE TABLE levi_discarded (id INTEGER PRIMARY KEY) STRICT;

-- Tells this outbox from every other, so that a message which it sent before is known for its own. Not secret.
CREATE TABLE levi_writer (id INTEGER PRIMARY KEY CHECK (id = 1), writer BLOB NOT NULL) STRICT;
INSERT INTO levi_writer VALUES (1, randomblob(16));
