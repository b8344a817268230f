-- Addresses from which users have logged in, so that a stranger's failures do not keep them out of there (RL-16).

CREATE TABLE known_addresses (
    tenant_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    -- A MAC under a key of the tenant's, no address.
    address TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id, address)
);
CREATE INDEX known_addresses_expiry ON known_addresses (tenant_id, expires_at);

ALTER TABLE known_addresses ENABLE ROW LEVEL SECURITY;
ALTER TABLE known_addresses FORCE ROW LEVEL SECURITY;
CREATE POLICY known_addresses_of_tenant ON known_addresses
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
