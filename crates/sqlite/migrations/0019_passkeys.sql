-- Passkeys (ADR 0020). Whose key it is stands under the pepper in the digest: rows alone make none.
CREATE TABLE passkeys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    credential BLOB NOT NULL,
    public_key BLOB NOT NULL,
    name TEXT NOT NULL,
    sign_count INTEGER NOT NULL,
    backup_eligible INTEGER NOT NULL,
    backed_up INTEGER NOT NULL,
    aaguid BLOB NOT NULL,
    transports TEXT NOT NULL,
    attested INTEGER NOT NULL,
    digest BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX passkeys_credential_key ON passkeys (tenant_id, credential);
CREATE INDEX passkeys_user ON passkeys (tenant_id, user_id);

-- Challenges that a ceremony ended with, until they expire: none is used twice.
CREATE TABLE spent_challenges (
    tenant_id TEXT NOT NULL,
    challenge BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, challenge)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_challenges_expiry ON spent_challenges (tenant_id, expires_at);
