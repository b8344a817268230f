-- Webhooks that nobody takes are told of once, and secrets of subscriptions are replaced by themselves (ADR 0036).

ALTER TABLE webhook_sources ADD COLUMN stalled_at BIGINT;
ALTER TABLE webhook_subscriptions ADD COLUMN stalled_at BIGINT;
ALTER TABLE webhook_subscriptions ADD COLUMN auto_rotate BOOLEAN NOT NULL DEFAULT TRUE;
-- It was drawn by itself, and nobody was shown it yet.
ALTER TABLE webhook_secrets ADD COLUMN unshown BOOLEAN NOT NULL DEFAULT FALSE;

-- What of a webhook does not fit into one sealed value, in order.
CREATE TABLE webhook_parts (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    delivery_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_parts_delivery ON webhook_parts (tenant_id, delivery_id, id);

ALTER TABLE webhook_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_parts FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_parts_of_tenant ON webhook_parts
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
