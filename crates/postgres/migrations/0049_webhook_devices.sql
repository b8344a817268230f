-- Devices that were enrolled with a source of webhooks (ADR 0038), what says no moment remembered for long, and stalls told by what was
-- taken.

CREATE TABLE webhook_devices (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    key_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    counter BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    pepper_version BIGINT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    seen_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX webhook_devices_key_key ON webhook_devices (tenant_id, source_id, key_id);
CREATE INDEX webhook_devices_source ON webhook_devices (tenant_id, source_id, id);

ALTER TABLE webhook_devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_devices FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_devices_of_tenant ON webhook_devices
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

CREATE INDEX webhook_sightings_timeless ON webhook_sightings (tenant_id, ends_at) WHERE copy IS NULL;
CREATE INDEX webhook_deliveries_delivered ON webhook_deliveries (tenant_id, owner, changed_at) WHERE state = 'delivered';
-- What was delivered long enough ago is forgotten every minute: not by a look at all that was delivered.
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (tenant_id, state, changed_at) WHERE state = 'delivered';
-- What waits is counted for each message that comes: not among all that was delivered.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant_id, owner, state, bytes, received_at)
    WHERE state IN ('queued', 'quarantined');
