-- Intents of the audit log that have no outcome yet (ADR 0040): noted in the commit of the intent, forgotten in that of its outcome. What a
-- process left here when it died is closed by the next one.
CREATE TABLE audit_intents (
    tenant_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL CHECK (event_id ~ '^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$'),
    node_id TEXT COLLATE "C" NOT NULL,
    boot TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);

ALTER TABLE audit_intents ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_intents FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_intents_of_tenant ON audit_intents
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
