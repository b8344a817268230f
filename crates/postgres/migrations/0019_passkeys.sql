-- Passkeys (ADR 0020). Whose key it is stands under the pepper in the digest: rows alone make none.
CREATE TABLE passkeys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    credential BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    name TEXT NOT NULL,
    sign_count BIGINT NOT NULL,
    backup_eligible BOOLEAN NOT NULL,
    backed_up BOOLEAN NOT NULL,
    aaguid BYTEA NOT NULL,
    transports TEXT NOT NULL,
    attested BOOLEAN NOT NULL,
    digest BYTEA NOT NULL,
    pepper_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX passkeys_credential_key ON passkeys (tenant_id, credential);
CREATE INDEX passkeys_user ON passkeys (tenant_id, user_id);

-- Challenges that a ceremony ended with, until they expire: none is used twice.
CREATE TABLE spent_challenges (
    tenant_id TEXT COLLATE "C" NOT NULL,
    challenge BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, challenge)
);
CREATE INDEX spent_challenges_expiry ON spent_challenges (tenant_id, expires_at);

ALTER TABLE passkeys ENABLE ROW LEVEL SECURITY;
ALTER TABLE passkeys FORCE ROW LEVEL SECURITY;
CREATE POLICY passkeys_of_tenant ON passkeys
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE spent_challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE spent_challenges FORCE ROW LEVEL SECURITY;
CREATE POLICY spent_challenges_of_tenant ON spent_challenges
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
