-- What tells a symmetric key from any other when its wrap does not open any more: 16 bytes derived from it. Older rows get theirs
-- from the scheduler. SQLite's migration of this name has the same column.

ALTER TABLE key_versions ADD COLUMN key_check BYTEA;
CREATE INDEX key_versions_unchecked ON key_versions (tenant_id)
    WHERE key_check IS NULL AND public_jwk IS NULL AND provider IS NULL AND state <> 'destroyed';
