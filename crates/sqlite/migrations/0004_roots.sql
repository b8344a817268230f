-- Several versions of the platform root, and tenants' own providers. PostgreSQL's migration of this name has the same tables.

-- Which versions of the root wrap. In the directory, because whoever stores a key under a version holds it, whatever the tenant.
CREATE TABLE directory_roots (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    superseded_at INTEGER,
    retired_at INTEGER,
    PRIMARY KEY (tenant_id, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX directory_roots_active_key ON directory_roots (tenant_id) WHERE state = 'active';
INSERT INTO directory_roots (tenant_id, version, state, created_at)
    SELECT tenant_id, root_version, 'active', MIN(created_at) FROM root_recipients GROUP BY tenant_id, root_version;

-- What derives from an older root and is still needed: the pepper of API keys, the key of idempotency. Under a newer root.
CREATE TABLE root_secrets (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    version INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    root_version INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT, WITHOUT ROWID;

ALTER TABLE root_recipients ADD COLUMN failed_at INTEGER;

-- Which root's pepper digested the secret.
ALTER TABLE api_keys ADD COLUMN pepper_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE directory_api_keys ADD COLUMN pepper_version INTEGER NOT NULL DEFAULT 1;

-- The tenant's own provider: what it wrapped, and whether it is needed (`and`) or enough (`or`).
ALTER TABLE tenant_keys ADD COLUMN own_provider TEXT;
ALTER TABLE tenant_keys ADD COLUMN own_mode TEXT;
ALTER TABLE tenant_keys ADD COLUMN own_wrapped BLOB;
