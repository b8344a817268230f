-- Which copies of a key there are outside the store. Location is empty where an import did not say.
-- PostgreSQL's migration of this name has the same table.

CREATE TABLE key_copies (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    location TEXT NOT NULL,
    state TEXT NOT NULL,
    version INTEGER,
    made_at INTEGER,
    made_by TEXT,
    PRIMARY KEY (tenant_id, key, location)
) STRICT, WITHOUT ROWID;

-- So far each key knew its last one.
INSERT INTO key_copies (tenant_id, key, location, state, version, made_at, made_by)
    SELECT tenant_id, id, COALESCE(backup_location, ''), backup, backup_version, backup_at, backup_by
    FROM keys WHERE backup IS NOT NULL;
