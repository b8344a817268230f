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

-- Behind the end of a log lies nothing of it: what somebody wrote there goes aside too, or nothing could come after it. Otherwise what a
-- purge lets go (0048).
CREATE OR REPLACE FUNCTION chancery_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.idx >= (SELECT l.size FROM audit_logs AS l WHERE l.tenant_id = OLD.tenant_id) THEN
            RETURN OLD;
        END IF;
        IF NOT chancery_stays('', OLD.kind)
            AND EXISTS (
                SELECT 1 FROM audit_purges AS p
                WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
            )
            AND NOT EXISTS (
                SELECT 1 FROM audit_holds AS h
                WHERE h.tenant_id = OLD.tenant_id AND (h.from_at IS NULL OR h.from_at <= OLD.recorded_at)
                    AND (h.to_at IS NULL OR h.to_at > OLD.recorded_at)
            ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;

-- That a forged purge was dismissed, or a key revoked, is kept when its month is purged: otherwise the purge would be told of again, and
-- the key's row alone would say what a verdict rests on. What is kept lies apart from the months (0034), so the events that there are move.

-- They are looked for while everybody reads and writes: that takes as long as the log is large. Row security shows one tenant's at a time.
CREATE TABLE audit_events_moving (LIKE audit_events);
CREATE TABLE audit_logs_seen (tenant_id TEXT COLLATE "C" PRIMARY KEY, size BIGINT NOT NULL);
DO $$
DECLARE
    tenant TEXT;
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true);
    FOR tenant IN SELECT d.tenant_id FROM directory_tenants AS d WHERE d.tenant_id <> 'ten_platform' LOOP
        PERFORM set_config('chancery.tenant', tenant, true);
        INSERT INTO audit_logs_seen SELECT l.tenant_id, l.size FROM audit_logs AS l WHERE l.tenant_id = tenant;
        INSERT INTO audit_events_moving SELECT e.* FROM audit_events AS e
            WHERE e.tenant_id = tenant AND e.kind IN ('audit.purge_dismissed', 'key.revoked');
    END LOOP;
END;
$$;

-- From here on the log is shut. Of logs that grew meanwhile only what is new is looked at, and what was found is taken out by its key
-- before the rule changes, and put back after it.
DROP TRIGGER audit_events_keep ON audit_events;
DO $$
DECLARE
    tenant TEXT;
    seen BIGINT;
BEGIN
    FOR tenant IN SELECT d.tenant_id FROM directory_tenants AS d WHERE d.tenant_id <> 'ten_platform' LOOP
        PERFORM set_config('chancery.tenant', tenant, true);
        seen := coalesce((SELECT s.size FROM audit_logs_seen AS s WHERE s.tenant_id = tenant), 0);
        IF EXISTS (SELECT 1 FROM audit_logs AS l WHERE l.tenant_id = tenant AND l.size > seen) THEN
            INSERT INTO audit_events_moving SELECT e.* FROM audit_events AS e
                WHERE e.tenant_id = tenant AND e.idx >= seen AND e.kind IN ('audit.purge_dismissed', 'key.revoked')
                    AND NOT EXISTS (SELECT 1 FROM audit_events_moving AS m WHERE m.tenant_id = e.tenant_id AND m.idx = e.idx);
        END IF;
    END LOOP;
    PERFORM set_config('chancery.tenant', '', true);
END;
$$;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    moving RECORD;
BEGIN
    FOR moving IN SELECT m.tenant_id, m.idx, m.recorded_at, m.kind FROM audit_events_moving AS m LOOP
        DELETE FROM audit_events AS e WHERE e.tenant_id = moving.tenant_id AND e.idx = moving.idx
            AND e.recorded_at = moving.recorded_at AND e.kind = moving.kind;
    END LOOP;
END;
$$;
CREATE OR REPLACE FUNCTION chancery_stays(tenant_id TEXT, kind TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT tenant_id COLLATE "C" = 'ten_platform' OR kind COLLATE "C" IN ('key.activated', 'key.retired', 'key.revoked',
        'certificate.issued', 'certificate.revoked', 'certificate.superseded', 'log.head_noted', 'log.restore_accepted',
        'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered', 'audit.purge_dismissed')
$$;
-- The tables change after the function: whoever has them open reads the rule anew.
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();
INSERT INTO audit_events SELECT * FROM audit_events_moving;
DROP TABLE audit_events_moving, audit_logs_seen;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;

-- Of a part of a log there may be several rows: one that somebody forged, or whose file is lost, must not keep another from being written.
ALTER TABLE audit_archives DROP CONSTRAINT audit_archives_pkey;
ALTER TABLE audit_archives ADD PRIMARY KEY (tenant_id, place, first_idx, event_id);
