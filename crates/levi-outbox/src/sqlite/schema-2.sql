-- A message that joins a queue writes its row and nothing else: no count in its lane, and the counts of everything only
-- now and then.

-- Whether a lane has rows is what levi_outbox says; due_at is NULL exactly where it has none.
ALTER TABLE levi_lanes DROP COLUMN row_count;

-- Rows with higher ids are not in the counts yet: there are few, and they are counted when the counts are read.
ALTER TABLE levi_totals ADD COLUMN counted_to INTEGER NOT NULL DEFAULT 0;
UPDATE levi_totals SET counted_to = (SELECT coalesce(max(id), 0) FROM levi_outbox);
