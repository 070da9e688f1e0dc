-- Rows that failed alone while other requests got through, so far: a row that never gets through is found although each
-- process tries it only a few times. Ids of rows are never used again, so that the entry of a row which has left stays
-- until its lane has another, or the outbox is opened again.
CREATE TABLE levi_lone_failures (
    lane         INTEGER PRIMARY KEY,
    id           INTEGER NOT NULL, -- the first row of the lane
    version      INTEGER NOT NULL,
    together     INTEGER NOT NULL, -- how many rows from this one on were in the request; 4294967295: other lanes too
    failures     INTEGER NOT NULL, -- how often it failed alone
    is_surpassed INTEGER NOT NULL  -- 1 if a request at least as large got through meanwhile
) STRICT;
