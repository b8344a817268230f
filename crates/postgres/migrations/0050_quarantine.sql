-- Rows of a queue that are no events are put aside, byte for byte, each beside the event of the log that tells of it (ADR 0004).
-- Texts are bytes here: what somebody wrote need not be text.
CREATE TABLE audit_quarantine (
    tenant_id TEXT COLLATE "C" NOT NULL,
    told_by TEXT COLLATE "C" NOT NULL,
    taken_at BIGINT NOT NULL,
    event_id BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL,
    kind BYTEA NOT NULL,
    actor BYTEA NOT NULL,
    resource BYTEA,
    outcome BIGINT NOT NULL,
    request_id BYTEA NOT NULL,
    core BYTEA NOT NULL,
    sealed BYTEA,
    PRIMARY KEY (tenant_id, told_by)
);
CREATE TRIGGER audit_quarantine_keep BEFORE UPDATE OR DELETE ON audit_quarantine
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_quarantine_keep_all BEFORE TRUNCATE ON audit_quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
ALTER TABLE audit_quarantine ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_quarantine FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_quarantine_of_tenant ON audit_quarantine
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- That a forged purge was dismissed is kept when its month is purged: otherwise it would be told of again. What is kept lies apart from
-- the months (0034), so the events that there are move. They are taken out before the rule changes, and put back after it.
DROP TRIGGER audit_events_keep ON audit_events;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
CREATE TABLE audit_events_dismissed AS
    SELECT * FROM audit_events WHERE kind = 'audit.purge_dismissed' AND tenant_id <> 'ten_platform';
DELETE FROM audit_events WHERE kind = 'audit.purge_dismissed' AND tenant_id <> 'ten_platform';
CREATE OR REPLACE FUNCTION chancery_stays(tenant_id TEXT, kind TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT tenant_id COLLATE "C" = 'ten_platform' OR kind COLLATE "C" IN ('key.activated', 'key.retired', 'certificate.issued',
        'certificate.revoked', 'certificate.superseded', 'log.head_noted', 'log.restore_accepted', 'audit.retention_changed',
        'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered', 'audit.purge_dismissed')
$$;
-- The tables change after the function: whoever has them open reads the rule anew.
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();
INSERT INTO audit_events SELECT * FROM audit_events_dismissed;
DROP TABLE audit_events_dismissed;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;

-- Of a part of a log there may be several rows: one that somebody forged, or whose file is lost, must not keep another from being written.
ALTER TABLE audit_archives DROP CONSTRAINT audit_archives_pkey;
ALTER TABLE audit_archives ADD PRIMARY KEY (tenant_id, place, first_idx, event_id);
