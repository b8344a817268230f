-- Several versions of the platform root, and tenants' own providers. SQLite's migration of this name has the same tables.

-- Which versions of the root wrap. In the directory, because whoever stores a key under a version holds it, whatever the tenant.
CREATE TABLE directory_roots (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    superseded_at BIGINT,
    retired_at BIGINT,
    PRIMARY KEY (tenant_id, version)
);
CREATE UNIQUE INDEX directory_roots_active_key ON directory_roots (tenant_id) WHERE state = 'active';
-- Row security holds for the owner too: enter the platform to see its recipients.
SELECT set_config('chancery.tenant', 'ten_platform', true);
INSERT INTO directory_roots (tenant_id, version, state, created_at)
    SELECT tenant_id, root_version, 'active', MIN(created_at) FROM root_recipients GROUP BY tenant_id, root_version;

-- What derives from an older root and is still needed: the pepper of API keys, the key of idempotency. Under a newer root.
CREATE TABLE root_secrets (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    root_version BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);
ALTER TABLE root_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE root_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY root_secrets_of_tenant ON root_secrets
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE root_recipients ADD COLUMN failed_at BIGINT;

-- Which root's pepper digested the secret.
ALTER TABLE api_keys ADD COLUMN pepper_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE directory_api_keys ADD COLUMN pepper_version BIGINT NOT NULL DEFAULT 1;

-- The tenant's own provider: what it wrapped, and whether it is needed (`and`) or enough (`or`).
ALTER TABLE tenant_keys ADD COLUMN own_provider TEXT COLLATE "C";
ALTER TABLE tenant_keys ADD COLUMN own_mode TEXT COLLATE "C";
ALTER TABLE tenant_keys ADD COLUMN own_wrapped BYTEA;
