-- What takes two people: who asked for what, who consented, how often it was used, who looked at it afterwards.

CREATE TABLE approvals (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    resource TEXT NOT NULL,
    details TEXT NOT NULL,
    request BLOB NOT NULL,
    reason BLOB,
    state TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_by TEXT,
    decided_at INTEGER,
    uses INTEGER NOT NULL,
    used_at INTEGER,
    reviewed_by TEXT,
    reviewed_at INTEGER,
    revision INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_unreviewed ON approvals (tenant_id, kind) WHERE uses > 0 AND reviewed_at IS NULL;
