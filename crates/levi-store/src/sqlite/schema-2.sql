-- For whom a record was made; NULL: nobody had signed in yet. The first user takes those over.
ALTER TABLE levi_store_repositories ADD COLUMN user_id TEXT;
ALTER TABLE levi_store_sessions ADD COLUMN user_id TEXT;
ALTER TABLE levi_store_secrets ADD COLUMN user_id TEXT;
-- Who signed in last.
ALTER TABLE levi_store_schema ADD COLUMN user_id TEXT;
