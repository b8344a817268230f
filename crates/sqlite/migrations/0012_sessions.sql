-- Logins of people: families of refresh tokens, and the denylist of access tokens.

CREATE TABLE sessions (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    methods TEXT NOT NULL,
    authenticated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    digest BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    client BLOB NOT NULL,
    head_since INTEGER NOT NULL,
    head_expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (tenant_id, user_id, state);
CREATE INDEX sessions_expiry ON sessions (tenant_id, expires_at);

CREATE TABLE revocations (
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    not_before INTEGER,
    expires_at INTEGER NOT NULL,
    user_id TEXT,
    reason TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_expiry ON revocations (tenant_id, expires_at);
