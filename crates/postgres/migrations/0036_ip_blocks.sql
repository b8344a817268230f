-- Addresses whose requests are not answered (ADR 0029). They are the platform's.

CREATE TABLE ip_blocks (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- In CIDR form, without bits behind the prefix.
    network TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    -- Whether it is an answer to abuse that nobody decided.
    automatic BOOLEAN NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX ip_blocks_network_key ON ip_blocks (tenant_id, network);

ALTER TABLE ip_blocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE ip_blocks FORCE ROW LEVEL SECURITY;
CREATE POLICY ip_blocks_of_tenant ON ip_blocks
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
