-- Issuers outside whose tokens a tenant takes (ADR 0019). What a node remembers of their callers is outdated by each change of
-- one: it raises the epoch (ADR 0009).

CREATE TABLE identity_providers (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    issuer TEXT NOT NULL,
    jwks_uri TEXT,
    audiences TEXT NOT NULL,
    audience_claim TEXT NOT NULL,
    algorithms TEXT NOT NULL,
    token_type TEXT NOT NULL,
    tenant_claim TEXT,
    tenant_value TEXT,
    role_claim TEXT NOT NULL,
    role_map TEXT NOT NULL,
    second_factor TEXT NOT NULL,
    leeway_seconds INTEGER NOT NULL,
    max_age_seconds INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    ends_at INTEGER,
    salt BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- A part of the directory: enabled ones, a row for each audience. Two tenants share an issuer and an audience only if a claim
-- tells them apart.
CREATE TABLE directory_identity_providers (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    audience TEXT NOT NULL,
    issuer TEXT NOT NULL,
    tenant_claim TEXT NOT NULL,
    tenant_value TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id, audience)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX directory_identity_providers_door_key
    ON directory_identity_providers (issuer, audience, tenant_claim, tenant_value);

CREATE TRIGGER identity_providers_epoch_update AFTER UPDATE ON identity_providers BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER identity_providers_epoch_delete AFTER DELETE ON identity_providers BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
