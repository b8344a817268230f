-- That a key was revoked is kept when its month is purged: a verdict rests on it, and not on the key's row. What is kept lies apart from
-- the months (0034), so the events that there are move, as in 0050. They are taken out before the rule changes, and put back after it.
DROP TRIGGER audit_events_keep ON audit_events;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
CREATE TABLE audit_events_revoked AS
    SELECT * FROM audit_events WHERE kind = 'key.revoked' AND tenant_id <> 'ten_platform';
DELETE FROM audit_events WHERE kind = 'key.revoked' AND tenant_id <> 'ten_platform';
CREATE OR REPLACE FUNCTION chancery_stays(tenant_id TEXT, kind TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT tenant_id COLLATE "C" = 'ten_platform' OR kind COLLATE "C" IN ('key.activated', 'key.retired', 'key.revoked',
        'certificate.issued', 'certificate.revoked', 'certificate.superseded', 'log.head_noted', 'log.restore_accepted',
        'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered', 'audit.purge_dismissed')
$$;
-- The tables change after the function: whoever has them open reads the rule anew.
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();
INSERT INTO audit_events SELECT * FROM audit_events_revoked;
DROP TABLE audit_events_revoked;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
