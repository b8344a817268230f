-- What browsers reported of a tenant's pages: the same report once, with how often it came.

CREATE TABLE csp_reports (
    tenant_id TEXT COLLATE "C" NOT NULL,
    directive TEXT COLLATE "C" NOT NULL,
    blocked TEXT COLLATE "C" NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    enforced BOOLEAN NOT NULL,
    count BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, directive, blocked, document, source, enforced)
);

ALTER TABLE csp_reports ENABLE ROW LEVEL SECURITY;
ALTER TABLE csp_reports FORCE ROW LEVEL SECURITY;
CREATE POLICY csp_reports_of_tenant ON csp_reports
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
