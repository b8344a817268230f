-- Which copies of a key there are outside the store. Location is empty where an import did not say.

CREATE TABLE key_copies (
    tenant_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    location TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    version BIGINT,
    made_at BIGINT,
    made_by TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, key, location)
);

-- So far each key knew its last one. Forced row security hides every tenant's keys from their owner too, so it is lifted for
-- this statement.
ALTER TABLE keys NO FORCE ROW LEVEL SECURITY;
INSERT INTO key_copies (tenant_id, key, location, state, version, made_at, made_by)
    SELECT tenant_id, id, COALESCE(backup_location, ''), backup, backup_version, backup_at, backup_by
    FROM keys WHERE backup IS NOT NULL;
ALTER TABLE keys FORCE ROW LEVEL SECURITY;

ALTER TABLE key_copies ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_copies FORCE ROW LEVEL SECURITY;
CREATE POLICY key_copies_of_tenant ON key_copies
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
