-- What browsers reported of a tenant's pages: the same report once, with how often it came.
-- PostgreSQL's migration of this name has the same table.

CREATE TABLE csp_reports (
    tenant_id TEXT NOT NULL,
    directive TEXT NOT NULL,
    blocked TEXT NOT NULL,
    document TEXT NOT NULL,
    source TEXT NOT NULL,
    enforced INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, directive, blocked, document, source, enforced)
) STRICT, WITHOUT ROWID;
