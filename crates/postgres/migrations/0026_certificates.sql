-- What became of certificates, and of whom they speak by a keyed reference (ADR 0024).
CREATE TABLE certificate_ends (
    tenant_id TEXT COLLATE "C" NOT NULL,
    certificate_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    successor_id TEXT COLLATE "C",
    ended_at BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, certificate_id, state),
    FOREIGN KEY (tenant_id, certificate_id) REFERENCES certificates (tenant_id, id)
);
CREATE TRIGGER certificate_ends_keep BEFORE UPDATE OR DELETE ON certificate_ends
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER certificate_ends_keep_all BEFORE TRUNCATE ON certificate_ends
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

CREATE TABLE certificate_subjects (
    tenant_id TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    certificate_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, reference, certificate_id),
    FOREIGN KEY (tenant_id, certificate_id) REFERENCES certificates (tenant_id, id)
);

-- Tenants that refuse what looks like personal data.
CREATE TABLE lockdowns (
    tenant_id TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);

CREATE INDEX certificates_kind ON certificates (tenant_id, kind, id);

ALTER TABLE certificate_ends ENABLE ROW LEVEL SECURITY;
ALTER TABLE certificate_ends FORCE ROW LEVEL SECURITY;
CREATE POLICY certificate_ends_of_tenant ON certificate_ends
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE certificate_subjects ENABLE ROW LEVEL SECURITY;
ALTER TABLE certificate_subjects FORCE ROW LEVEL SECURITY;
CREATE POLICY certificate_subjects_of_tenant ON certificate_subjects
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE lockdowns ENABLE ROW LEVEL SECURITY;
ALTER TABLE lockdowns FORCE ROW LEVEL SECURITY;
CREATE POLICY lockdowns_of_tenant ON lockdowns
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
