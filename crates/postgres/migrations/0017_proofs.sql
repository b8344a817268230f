-- Within a session: how often its person tried to prove again who it is, and the key that its tokens are bound to. And the
-- proofs of possession that were used (RFC 9449).

ALTER TABLE sessions ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN key_thumbprint TEXT COLLATE "C";

CREATE TABLE used_proofs (
    tenant_id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX used_proofs_expiry ON used_proofs (tenant_id, expires_at);

ALTER TABLE used_proofs ENABLE ROW LEVEL SECURITY;
ALTER TABLE used_proofs FORCE ROW LEVEL SECURITY;
CREATE POLICY used_proofs_of_tenant ON used_proofs
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
