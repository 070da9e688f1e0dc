CREATE TABLE levi_store_received (
    id                INTEGER PRIMARY KEY,
    user_id           TEXT NOT NULL,
    session_id        TEXT NOT NULL,
    sender_device_id  TEXT,
    sender_public_key TEXT,
    secret            BLOB NOT NULL
) STRICT;

CREATE INDEX levi_store_received_of_session ON levi_store_received (session_id, user_id);
CREATE INDEX levi_store_received_of_sender ON levi_store_received (sender_device_id, user_id, sender_public_key);
