-- What a row may replace on the server, if that is not an earlier text of the same message only. Few
-- rows have an entry, and it is a table of its own because a column before the payload would mean to
-- copy the outbox, which may hold a gigabyte. Ids of rows are never used again, so that the entry of
-- a row which has left stays until the outbox is opened again.
CREATE TABLE levi_overwrites (
    id      INTEGER PRIMARY KEY,                     -- the row, pending or parked
    version INTEGER NOT NULL,                        -- its version when that was said
    mode    INTEGER NOT NULL CHECK (mode IN (1, 2))  -- 1 any text, 2 no text
) STRICT;
