-- What is left of destroyed keys, and which backups were made.

CREATE TABLE tombstones (
    tenant_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    handle BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    destroyed_at BIGINT NOT NULL,
    destroyed_by TEXT COLLATE "C" NOT NULL,
    approval TEXT COLLATE "C",
    certificate TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, kind, id)
);
CREATE TRIGGER tombstones_keep BEFORE UPDATE OR DELETE ON tombstones
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER tombstones_keep_all BEFORE TRUNCATE ON tombstones
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

CREATE TABLE backups (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    header_sha256 BYTEA NOT NULL,
    keys_expire_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

ALTER TABLE tombstones ENABLE ROW LEVEL SECURITY;
ALTER TABLE tombstones FORCE ROW LEVEL SECURITY;
CREATE POLICY tombstones_of_tenant ON tombstones
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE backups ENABLE ROW LEVEL SECURITY;
ALTER TABLE backups FORCE ROW LEVEL SECURITY;
CREATE POLICY backups_of_tenant ON backups
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
