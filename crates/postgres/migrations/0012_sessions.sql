-- Logins of people: families of refresh tokens, and the denylist of access tokens.

CREATE TABLE sessions (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    methods TEXT COLLATE "C" NOT NULL,
    authenticated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    pepper_version BIGINT NOT NULL,
    client BYTEA NOT NULL,
    head_since BIGINT NOT NULL,
    head_expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_user ON sessions (tenant_id, user_id, state);
CREATE INDEX sessions_expiry ON sessions (tenant_id, expires_at);

CREATE TABLE revocations (
    tenant_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    not_before BIGINT,
    expires_at BIGINT NOT NULL,
    user_id TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, id)
);
CREATE INDEX revocations_expiry ON revocations (tenant_id, expires_at);

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY sessions_of_tenant ON sessions
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY revocations_of_tenant ON revocations
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
