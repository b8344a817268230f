-- What tenants are found by: terms of their contact e-mail under the platform's index key, beside their records.
-- An e-mail that was noted before is found once it is noted again.
CREATE TABLE tenant_email_terms (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id, position),
    FOREIGN KEY (tenant_id, id) REFERENCES tenants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX tenant_email_terms_term ON tenant_email_terms (tenant_id, term);

ALTER TABLE tenant_email_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_email_terms FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_email_terms_of_tenant ON tenant_email_terms
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
