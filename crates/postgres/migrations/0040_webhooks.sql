-- Webhooks (ADR 0032): who sends them, with what they are checked, what came, and what is on its way.

CREATE TABLE webhook_sources (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    layout TEXT COLLATE "C",
    client_id TEXT COLLATE "C",
    app_ids TEXT COLLATE "C" NOT NULL,
    upstream TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- Of a source or a subscription. What has ended leaves its code alone.
CREATE TABLE webhook_secrets (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    sealed BYTEA,
    code BYTEA NOT NULL,
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ends_at BIGINT,
    due_told_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_secrets_owner ON webhook_secrets (tenant_id, owner, id);

-- What came, so that no copy of it is taken again: for longer than twice the window in which a message is fresh.
CREATE TABLE webhook_sightings (
    tenant_id TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    identity BYTEA NOT NULL,
    copy BYTEA,
    copies BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, source_id, identity)
);
CREATE INDEX webhook_sightings_ends ON webhook_sightings (tenant_id, ends_at);

CREATE TABLE webhook_deliveries (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    sealed BYTEA,
    bytes BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    received_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (tenant_id, state, next_at);

ALTER TABLE webhook_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_sources FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_sources_of_tenant ON webhook_sources
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE webhook_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_secrets_of_tenant ON webhook_secrets
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE webhook_sightings ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_sightings FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_sightings_of_tenant ON webhook_sightings
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_deliveries_of_tenant ON webhook_deliveries
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
