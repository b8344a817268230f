-- The rows of issue one. PostgreSQL's migration of this name has the same tables.
--
-- Ids are their text, moments are microseconds since 1970, sets are words with blanks between, sealed values and hashes are bytes.
-- Every table begins its primary key with the tenant; `audit_queue` alone has SQLite's own counter as its key.

-- The directory: what authentication knows before a tenant is entered. No personal data.

CREATE TABLE directory_tenants (
    tenant_id TEXT NOT NULL,
    slug TEXT NOT NULL,
    state TEXT NOT NULL,
    clear_fields INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX directory_tenants_slug_key ON directory_tenants (slug);

CREATE TABLE directory_api_keys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    digest BLOB NOT NULL,
    revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX directory_api_keys_id_key ON directory_api_keys (id);

-- Tenants: records of the platform.

CREATE TABLE tenants (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    email BLOB,
    metadata BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tenants_slug_key ON tenants (tenant_id, slug);

-- People and programs.

CREATE TABLE users (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    username TEXT NOT NULL,
    email BLOB NOT NULL,
    first_name BLOB,
    last_name BLOB,
    metadata BLOB,
    password_hash TEXT,
    roles TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_username_key ON users (tenant_id, username);

CREATE TABLE user_email_terms (
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    term TEXT NOT NULL,
    PRIMARY KEY (tenant_id, user_id, position),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX user_email_terms_term ON user_email_terms (tenant_id, term);

CREATE TABLE api_keys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    description TEXT NOT NULL,
    roles TEXT NOT NULL,
    user_id TEXT,
    digest BLOB NOT NULL,
    allowed_cidrs TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_user ON api_keys (tenant_id, user_id);

-- Keys.

CREATE TABLE root_recipients (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT NOT NULL,
    root_version INTEGER NOT NULL,
    root_handle BLOB NOT NULL,
    provider TEXT NOT NULL,
    label TEXT NOT NULL,
    environment TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_keys (
    tenant_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    handle BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    root_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    purpose TEXT NOT NULL,
    managed TEXT,
    access_policy TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX keys_managed_key ON keys (tenant_id, managed) WHERE managed IS NOT NULL;

CREATE TABLE key_versions (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    handle BLOB NOT NULL,
    state TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    tenant_key_version INTEGER NOT NULL,
    public_jwk TEXT,
    previous TEXT,
    next TEXT,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    retired_at INTEGER,
    PRIMARY KEY (tenant_id, key, version),
    FOREIGN KEY (tenant_id, key) REFERENCES keys (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX key_versions_key_id_key ON key_versions (tenant_id, key_id);
CREATE UNIQUE INDEX key_versions_handle_key ON key_versions (tenant_id, handle);
CREATE UNIQUE INDEX key_versions_active_key ON key_versions (tenant_id, key) WHERE state = 'active';

-- Fields.

CREATE TABLE fields (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    table_id TEXT NOT NULL,
    table_name TEXT NOT NULL,
    column_name TEXT NOT NULL,
    class TEXT NOT NULL,
    type TEXT NOT NULL,
    bind TEXT NOT NULL,
    index_normalizer TEXT,
    index_bits INTEGER,
    encrypt INTEGER NOT NULL CHECK (encrypt IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX fields_column_key ON fields (tenant_id, table_name, column_name);

-- Certificates.

CREATE TABLE certificates (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;

-- The audit log: a head, a queue in front, events, tiles, signed heads.

CREATE TABLE audit_logs (
    tenant_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_queue (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    resource TEXT,
    outcome INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    core TEXT NOT NULL,
    sealed BLOB
) STRICT;
CREATE INDEX audit_queue_seq ON audit_queue (tenant_id, seq);
CREATE UNIQUE INDEX audit_queue_event_key ON audit_queue (tenant_id, event_id);

CREATE TABLE audit_events (
    tenant_id TEXT NOT NULL,
    idx INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    resource TEXT,
    outcome INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    core TEXT NOT NULL,
    leaf_hash BLOB NOT NULL,
    PRIMARY KEY (tenant_id, idx)
) STRICT;
CREATE UNIQUE INDEX audit_events_event_key ON audit_events (tenant_id, event_id);
CREATE INDEX audit_events_recorded_at ON audit_events (tenant_id, recorded_at);
CREATE INDEX audit_events_resource ON audit_events (tenant_id, resource) WHERE resource IS NOT NULL;

-- The personal part of events: sealed, beside the log, so that it can go while every proof stays.
CREATE TABLE audit_sealed (
    tenant_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE audit_tiles (
    tenant_id TEXT NOT NULL,
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (tenant_id, level, idx)
) STRICT;

CREATE TABLE audit_checkpoints (
    tenant_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (tenant_id, size, signed_at)
) STRICT, WITHOUT ROWID;

-- What was written here stays.

CREATE TRIGGER audit_events_keep_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events only grows'); END;
CREATE TRIGGER audit_events_keep_delete BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events only grows'); END;
CREATE TRIGGER audit_checkpoints_keep_update BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints only grows'); END;
CREATE TRIGGER audit_checkpoints_keep_delete BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints only grows'); END;
CREATE TRIGGER certificates_keep_update BEFORE UPDATE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates only grows'); END;
CREATE TRIGGER certificates_keep_delete BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates only grows'); END;

-- Remembered creations.

CREATE TABLE idempotency (
    tenant_id TEXT NOT NULL,
    key BLOB NOT NULL,
    request BLOB NOT NULL,
    resource TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created_at ON idempotency (tenant_id, created_at);
