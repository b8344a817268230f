-- Webhooks that nobody takes are told of once, and secrets of subscriptions are replaced by themselves (ADR 0036).

ALTER TABLE webhook_sources ADD COLUMN stalled_at INTEGER;
ALTER TABLE webhook_subscriptions ADD COLUMN stalled_at INTEGER;
ALTER TABLE webhook_subscriptions ADD COLUMN auto_rotate INTEGER NOT NULL DEFAULT 1;
-- It was drawn by itself, and nobody was shown it yet.
ALTER TABLE webhook_secrets ADD COLUMN unshown INTEGER NOT NULL DEFAULT 0;

-- What of a webhook does not fit into one sealed value, in order.
CREATE TABLE webhook_parts (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_parts_delivery ON webhook_parts (tenant_id, delivery_id, id);
