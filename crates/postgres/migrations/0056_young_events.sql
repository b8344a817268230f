-- No purge lets go of what is younger than the shortest time that a log is kept (ADR 0025). A purge is a row that whoever serves may
-- write; the time is the database's own, and this rule its owner's.

-- What was recorded at or after this moment stays. A day of grace, for the clocks of our nodes.
CREATE FUNCTION chancery_let_go_before() RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM date_trunc('month', (now() + interval '24 hours') AT TIME ZONE 'UTC') - interval '72 months') * 1000000)::bigint
$$;

-- As before (0048, 0050), but for what is young. What lies behind the end of a log is nothing of it.
CREATE OR REPLACE FUNCTION chancery_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.idx >= (SELECT l.size FROM audit_logs AS l WHERE l.tenant_id = OLD.tenant_id) THEN
            RETURN OLD;
        END IF;
        IF OLD.recorded_at < chancery_let_go_before()
            AND NOT chancery_stays('', OLD.kind)
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

CREATE OR REPLACE FUNCTION chancery_sealed_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
                ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.next_idx > e.idx AND p.ended_at IS NULL
            WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id AND e.recorded_at < chancery_let_go_before()
                AND NOT EXISTS (
                    SELECT 1 FROM audit_holds AS h
                    WHERE h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                        AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
                )
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;

-- What names events has no time of its own. A purge takes places side by side, so the youngest months are looked through once for all of
-- a statement, not for each row of it.
CREATE FUNCTION chancery_references_let_go() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT r.tenant_id, min(r.idx) AS lowest, max(r.idx) AS highest FROM gone AS r GROUP BY r.tenant_id) AS g
            JOIN audit_events AS e ON e.tenant_id = g.tenant_id AND e.idx >= g.lowest AND e.idx <= g.highest
        WHERE e.recorded_at >= chancery_let_go_before()
    ) THEN
        RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER audit_references_let_go AFTER DELETE ON audit_references
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION chancery_references_let_go();
