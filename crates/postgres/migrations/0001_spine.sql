-- The rows of issue one. SQLite's migration of this name has the same tables.
--
-- Ids are their text, moments are microseconds since 1970, sets are words with blanks between, sealed values and hashes are bytes.
-- Every table begins its primary key with the tenant. Ids and names compare byte by byte (collation "C"), as in SQLite.

-- The directory: what authentication knows before a tenant is entered. No personal data.

CREATE TABLE directory_tenants (
    tenant_id TEXT COLLATE "C" NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    clear_fields BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);
CREATE UNIQUE INDEX directory_tenants_slug_key ON directory_tenants (slug);

CREATE TABLE directory_api_keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    revoked BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX directory_api_keys_id_key ON directory_api_keys (id);

-- Tenants: records of the platform.

CREATE TABLE tenants (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT COLLATE "C" NOT NULL,
    slug TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    email BYTEA,
    metadata BYTEA,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX tenants_slug_key ON tenants (tenant_id, slug);

-- People and programs.

CREATE TABLE users (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    email BYTEA NOT NULL,
    first_name BYTEA,
    last_name BYTEA,
    metadata BYTEA,
    password_hash TEXT COLLATE "C",
    roles TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_username_key ON users (tenant_id, username);

CREATE TABLE user_email_terms (
    tenant_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, user_id, position),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX user_email_terms_term ON user_email_terms (tenant_id, term);

CREATE TABLE api_keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    roles TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    digest BYTEA NOT NULL,
    allowed_cidrs TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX api_keys_user ON api_keys (tenant_id, user_id);

-- Keys.

CREATE TABLE root_recipients (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT COLLATE "C" NOT NULL,
    root_version BIGINT NOT NULL,
    root_handle BYTEA NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    proven_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE tenant_keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    handle BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    root_version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

CREATE TABLE keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    managed TEXT COLLATE "C",
    access_policy TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX keys_managed_key ON keys (tenant_id, managed) WHERE managed IS NOT NULL;

CREATE TABLE key_versions (
    tenant_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    handle BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    tenant_key_version BIGINT NOT NULL,
    public_jwk TEXT COLLATE "C",
    previous TEXT COLLATE "C",
    next TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    retired_at BIGINT,
    PRIMARY KEY (tenant_id, key, version),
    FOREIGN KEY (tenant_id, key) REFERENCES keys (tenant_id, id)
);
CREATE UNIQUE INDEX key_versions_key_id_key ON key_versions (tenant_id, key_id);
CREATE UNIQUE INDEX key_versions_handle_key ON key_versions (tenant_id, handle);
CREATE UNIQUE INDEX key_versions_active_key ON key_versions (tenant_id, key) WHERE state = 'active';

-- Fields.

CREATE TABLE fields (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    table_id TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    column_name TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    bind TEXT COLLATE "C" NOT NULL,
    index_normalizer TEXT COLLATE "C",
    index_bits BIGINT,
    encrypt BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX fields_column_key ON fields (tenant_id, table_name, column_name);

-- Certificates.

CREATE TABLE certificates (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    envelope BYTEA NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- The audit log: a head, a queue in front, events, tiles, signed heads.

CREATE TABLE audit_logs (
    tenant_id TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    PRIMARY KEY (tenant_id)
);

CREATE TABLE audit_queue (
    tenant_id TEXT COLLATE "C" NOT NULL,
    seq BIGSERIAL NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C",
    outcome BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    core TEXT COLLATE "C" NOT NULL,
    sealed BYTEA,
    PRIMARY KEY (tenant_id, seq)
);
CREATE UNIQUE INDEX audit_queue_event_key ON audit_queue (tenant_id, event_id);

CREATE TABLE audit_events (
    tenant_id TEXT COLLATE "C" NOT NULL,
    idx BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C",
    outcome BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    core TEXT COLLATE "C" NOT NULL,
    leaf_hash BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, idx)
);
CREATE UNIQUE INDEX audit_events_event_key ON audit_events (tenant_id, event_id);
CREATE INDEX audit_events_recorded_at ON audit_events (tenant_id, recorded_at);
CREATE INDEX audit_events_resource ON audit_events (tenant_id, resource) WHERE resource IS NOT NULL;

-- The personal part of events: sealed, beside the log, so that it can go while every proof stays.
CREATE TABLE audit_sealed (
    tenant_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);

CREATE TABLE audit_tiles (
    tenant_id TEXT COLLATE "C" NOT NULL,
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, level, idx)
);

CREATE TABLE audit_checkpoints (
    tenant_id TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    signed_at BIGINT NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, size, signed_at)
);

-- What was written here stays.

CREATE FUNCTION chancery_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_events_keep_all BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_checkpoints_keep BEFORE UPDATE OR DELETE ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_checkpoints_keep_all BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER certificates_keep BEFORE UPDATE OR DELETE ON certificates
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER certificates_keep_all BEFORE TRUNCATE ON certificates
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

-- Remembered creations.

CREATE TABLE idempotency (
    tenant_id TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    request BYTEA NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_created_at ON idempotency (tenant_id, created_at);

-- The second wall: whatever a statement says, it meets only the rows of the tenant that its transaction entered. Without one, none.

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenants_of_tenant ON tenants
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY users_of_tenant ON users
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE user_email_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_email_terms FORCE ROW LEVEL SECURITY;
CREATE POLICY user_email_terms_of_tenant ON user_email_terms
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_of_tenant ON api_keys
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE root_recipients ENABLE ROW LEVEL SECURITY;
ALTER TABLE root_recipients FORCE ROW LEVEL SECURITY;
CREATE POLICY root_recipients_of_tenant ON root_recipients
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE tenant_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_keys_of_tenant ON tenant_keys
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE keys FORCE ROW LEVEL SECURITY;
CREATE POLICY keys_of_tenant ON keys
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE key_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY key_versions_of_tenant ON key_versions
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE fields ENABLE ROW LEVEL SECURITY;
ALTER TABLE fields FORCE ROW LEVEL SECURITY;
CREATE POLICY fields_of_tenant ON fields
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE certificates ENABLE ROW LEVEL SECURITY;
ALTER TABLE certificates FORCE ROW LEVEL SECURITY;
CREATE POLICY certificates_of_tenant ON certificates
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_logs_of_tenant ON audit_logs
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_queue FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_queue_of_tenant ON audit_queue
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_events_of_tenant ON audit_events
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_sealed ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_sealed FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_sealed_of_tenant ON audit_sealed
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_tiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_tiles FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_tiles_of_tenant ON audit_tiles
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE audit_checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_checkpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_checkpoints_of_tenant ON audit_checkpoints
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE ROW LEVEL SECURITY;
CREATE POLICY idempotency_of_tenant ON idempotency
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
