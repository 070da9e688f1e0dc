CREATE TABLE levi_store_schema (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    version   INTEGER NOT NULL,
    key_check BLOB    NOT NULL
) STRICT;

CREATE TABLE levi_store_repositories (
    id     TEXT PRIMARY KEY,
    record BLOB NOT NULL
) STRICT;

CREATE TABLE levi_store_sessions (
    id     TEXT PRIMARY KEY,
    record BLOB NOT NULL
) STRICT;

CREATE TABLE levi_store_secrets (
    id     TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) STRICT;

CREATE TABLE levi_store_progress (
    session_id TEXT    PRIMARY KEY,
    last_sent  INTEGER NOT NULL,
    sent       INTEGER NOT NULL
) STRICT;

CREATE TABLE levi_store_unsent (
    session_id      TEXT    NOT NULL,
    sequence_number INTEGER NOT NULL,
    message_id      TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('failed', 'parked')),
    code            TEXT    NOT NULL,
    PRIMARY KEY (session_id, sequence_number)
) STRICT, WITHOUT ROWID;
