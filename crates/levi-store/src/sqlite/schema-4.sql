CREATE TABLE levi_store_device_list (
    user_id TEXT PRIMARY KEY,
    list    BLOB NOT NULL
) STRICT;

CREATE TABLE levi_store_epoch_starts (
    user_id         TEXT    NOT NULL,
    session_id      TEXT    NOT NULL,
    epoch           INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    PRIMARY KEY (user_id, session_id, epoch)
) STRICT, WITHOUT ROWID;
