-- Issuers outside whose tokens a tenant takes (ADR 0019). What a node remembers of their callers is outdated by each change of
-- one: it raises the epoch (ADR 0009).

CREATE TABLE identity_providers (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    profile TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    jwks_uri TEXT COLLATE "C",
    audiences TEXT COLLATE "C" NOT NULL,
    audience_claim TEXT COLLATE "C" NOT NULL,
    algorithms TEXT COLLATE "C" NOT NULL,
    token_type TEXT COLLATE "C" NOT NULL,
    tenant_claim TEXT COLLATE "C",
    tenant_value TEXT COLLATE "C",
    role_claim TEXT COLLATE "C" NOT NULL,
    role_map TEXT COLLATE "C" NOT NULL,
    second_factor TEXT COLLATE "C" NOT NULL,
    leeway_seconds BIGINT NOT NULL,
    max_age_seconds BIGINT NOT NULL,
    enabled BOOLEAN NOT NULL,
    ends_at BIGINT,
    salt BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- A part of the directory: enabled ones, a row for each audience. Two tenants share an issuer and an audience only if a claim
-- tells them apart.
CREATE TABLE directory_identity_providers (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    audience TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    tenant_claim TEXT COLLATE "C" NOT NULL,
    tenant_value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id, audience)
);
CREATE UNIQUE INDEX directory_identity_providers_door_key
    ON directory_identity_providers (issuer, audience, tenant_claim, tenant_value);

CREATE CONSTRAINT TRIGGER identity_providers_epoch AFTER UPDATE OR DELETE ON identity_providers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();

ALTER TABLE identity_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_providers FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_providers_of_tenant ON identity_providers
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
