-- Names at login are told apart however they are spelled: by their folded form. Null where another user, who is older, has the same
-- form: that one logs in by the exact spelling alone.
ALTER TABLE users ADD COLUMN name_key TEXT;

-- SQL folds ASCII; the others are folded by a job, soon after the start.
UPDATE users SET name_key = lower(username)
WHERE (tenant_id, id) IN (
    SELECT tenant_id, MIN(id) FROM users WHERE username NOT GLOB '*[^ -~]*' GROUP BY tenant_id, lower(username)
);

CREATE UNIQUE INDEX users_name_key ON users (tenant_id, name_key);
CREATE INDEX users_unfolded ON users (tenant_id, id) WHERE name_key IS NULL;
