-- Webhooks (ADR 0032): who sends them, with what they are checked, what came, and what is on its way.

CREATE TABLE webhook_sources (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    layout TEXT,
    client_id TEXT,
    app_ids TEXT NOT NULL,
    upstream TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- Of a source or a subscription. What has ended leaves its code alone.
CREATE TABLE webhook_secrets (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed BLOB,
    code BLOB NOT NULL,
    counter INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER,
    due_told_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_secrets_owner ON webhook_secrets (tenant_id, owner, id);

-- What came, so that no copy of it is taken again: for longer than twice the window in which a message is fresh.
CREATE TABLE webhook_sightings (
    tenant_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    identity BLOB NOT NULL,
    copy BLOB,
    copies INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, source_id, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_sightings_ends ON webhook_sightings (tenant_id, ends_at);

CREATE TABLE webhook_deliveries (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    sealed BLOB,
    bytes INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    reason TEXT,
    received_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (tenant_id, state, next_at);
