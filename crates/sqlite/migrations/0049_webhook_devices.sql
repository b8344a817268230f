-- Devices that were enrolled with a source of webhooks (ADR 0038), what says no moment remembered for long, and stalls told by what was
-- taken.

CREATE TABLE webhook_devices (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    key_id BLOB NOT NULL,
    public_key BLOB NOT NULL,
    environment TEXT NOT NULL,
    counter INTEGER NOT NULL,
    digest BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    seen_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX webhook_devices_key_key ON webhook_devices (tenant_id, source_id, key_id);
CREATE INDEX webhook_devices_source ON webhook_devices (tenant_id, source_id, id);

CREATE INDEX webhook_sightings_timeless ON webhook_sightings (tenant_id, ends_at) WHERE copy IS NULL;
CREATE INDEX webhook_deliveries_delivered ON webhook_deliveries (tenant_id, owner, changed_at) WHERE state = 'delivered';
-- What was delivered long enough ago is forgotten every minute: not by a look at all that was delivered.
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (tenant_id, state, changed_at) WHERE state = 'delivered';
-- What waits is counted for each message that comes: not among all that was delivered.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant_id, owner, state, bytes, received_at)
    WHERE state IN ('queued', 'quarantined');
