-- The texts that the server has taken, so that the same text again is not sent again: the newest of them, in runs
-- of 128 sequence numbers. Each entry of a run has 9 bytes: the number's place in the run and a digest of the text, which
-- tells nothing to those who do not have the session's key.
CREATE TABLE levi_synced (
    id         INTEGER PRIMARY KEY,
    user       INTEGER NOT NULL, -- for whom they were sent; 0: nobody had signed in
    session_id TEXT    NOT NULL,
    run        INTEGER NOT NULL, -- the sequence number divided by 128, rounded down
    texts      BLOB    NOT NULL,
    UNIQUE (user, session_id, run)
) STRICT;
