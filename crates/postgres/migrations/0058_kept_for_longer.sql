-- No purge lets go of what its tenant keeps for longer than any log must be kept (ADR 0025). How long that is says the row, and the
-- newest event of the log's tree that says it: who lowers the one must put the other into the log, out of which nothing takes it.

CREATE INDEX audit_events_retention ON audit_events_kept (tenant_id, idx) WHERE kind = 'audit.retention_changed';

-- What this tenant recorded at or after this moment stays. What an event is, its own text says and no column, and only text that is in the
-- tree is read: whoever serves may put a copy of any event there, under another kind. One that says no months keeps the most.
CREATE FUNCTION chancery_let_go_before(tenant TEXT) RETURNS BIGINT LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    whose TEXT COLLATE "C" := tenant;
    bound BIGINT := chancery_let_go_before();
    kept BIGINT := (SELECT r.months FROM audit_retention AS r WHERE r.tenant_id = whose);
    told TEXT;
BEGIN
    FOR told IN
        SELECT e.core FROM audit_events_kept AS e
        WHERE e.tenant_id = whose AND e.kind = 'audit.retention_changed'
            AND e.idx < (SELECT l.size FROM audit_logs AS l WHERE l.tenant_id = whose)
            AND EXISTS (
                SELECT 1 FROM audit_tiles AS t WHERE t.tenant_id = whose AND t.level = 0 AND t.idx = e.idx / 256
                    AND substr(t.hashes, (1 + 32 * (e.idx % 256))::int, 32) = sha256('\x00'::bytea || convert_to(e.core, 'UTF8'))
            )
        ORDER BY e.idx DESC
    LOOP
        IF told::json ->> 'type' = 'audit.retention_changed' THEN
            kept := greatest(kept, coalesce((told::json #>> '{detail,months}')::bigint, 1200));
            EXIT;
        END IF;
    END LOOP;
    IF kept IS NULL OR kept <= 72 THEN
        RETURN bound;
    END IF;
    RETURN (extract(epoch FROM timestamp '1970-01-01' + (bound / 1000000) * interval '1 second'
        - make_interval(months => least(kept, 1200)::int - 72)) * 1000000)::bigint;
END;
$$;

-- As before (0056), by the tenant's own time.
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
            )
            AND OLD.recorded_at < chancery_let_go_before(OLD.tenant_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
