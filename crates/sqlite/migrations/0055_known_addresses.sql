-- Addresses from which users have logged in, so that a stranger's failures do not keep them out of there (RL-16). PostgreSQL's migration
-- of this name has the same table.

CREATE TABLE known_addresses (
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    -- A MAC under a key of the tenant's, no address.
    address TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, user_id, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_addresses_expiry ON known_addresses (tenant_id, expires_at);
