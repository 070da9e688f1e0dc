-- Sessions whose row the server had once: it acknowledged the row, or a message of the session. One that is
-- missing there now was deleted elsewhere.
CREATE TABLE levi_sessions_sent (session_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Rows that an operator discarded before the server acknowledged them, since the outbox was opened: a caller
-- that waits for one must not be told that it arrived.
CREATE TABLE levi_discarded (id INTEGER PRIMARY KEY) STRICT;
