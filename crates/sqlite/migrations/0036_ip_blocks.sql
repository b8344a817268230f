-- Addresses whose requests are not answered (ADR 0029). They are the platform's.

CREATE TABLE ip_blocks (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    -- In CIDR form, without bits behind the prefix.
    network TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- Whether it is an answer to abuse that nobody decided.
    automatic INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    made_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ip_blocks_network_key ON ip_blocks (tenant_id, network);
