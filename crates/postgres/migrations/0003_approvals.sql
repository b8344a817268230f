-- What takes two people: who asked for what, who consented, how often it was used, who looked at it afterwards.

CREATE TABLE approvals (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL,
    request BYTEA NOT NULL,
    reason BYTEA,
    state TEXT COLLATE "C" NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_by TEXT COLLATE "C",
    decided_at BIGINT,
    uses BIGINT NOT NULL,
    used_at BIGINT,
    reviewed_by TEXT COLLATE "C",
    reviewed_at BIGINT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX approvals_unreviewed ON approvals (tenant_id, kind) WHERE uses > 0 AND reviewed_at IS NULL;

ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY approvals_of_tenant ON approvals
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
