-- Within a session: how often its person tried to prove again who it is, and the key that its tokens are bound to. And the
-- proofs of possession that were used (RFC 9449).

ALTER TABLE sessions ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN key_thumbprint TEXT;

CREATE TABLE used_proofs (
    tenant_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_proofs_expiry ON used_proofs (tenant_id, expires_at);
