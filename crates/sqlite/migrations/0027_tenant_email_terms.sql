-- What tenants are found by: terms of their contact e-mail under the platform's index key, beside their records.
-- An e-mail that was noted before is found once it is noted again.
CREATE TABLE tenant_email_terms (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    position INTEGER NOT NULL,
    term TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id, position),
    FOREIGN KEY (tenant_id, id) REFERENCES tenants (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX tenant_email_terms_term ON tenant_email_terms (tenant_id, term);
