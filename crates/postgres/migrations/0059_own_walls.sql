-- Whether something may go is asked of itself, and of nothing that whoever serves can put beside it (ADR 0044). He may add an event under
-- the id of another one, in the table of what is kept or behind the end of the log; and he chooses whose rows a statement sees.

-- As before (0056), by the tenant's own time (0058). An id says when it was made, and so how old the event is whose personal part it
-- names, whatever another row of that id says. And none of them may be held.
CREATE OR REPLACE FUNCTION chancery_sealed_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    bound BIGINT;
BEGIN
    IF TG_OP = 'DELETE' THEN
        bound := chancery_let_go_before(OLD.tenant_id);
        IF chancery_made_at(OLD.event_id) < bound
            AND EXISTS (
                SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
                    ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.next_idx > e.idx AND p.ended_at IS NULL
                WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id AND e.recorded_at < bound
            )
            AND NOT EXISTS (
                SELECT 1 FROM audit_events AS e JOIN audit_holds AS h
                    ON h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                        AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
                WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id
            ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;

-- As before (0056), by the tenant's own time (0058). This look comes after the statement, which may have changed whose rows are seen: of
-- another tenant's events none would be found young.
CREATE OR REPLACE FUNCTION chancery_references_let_go() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    own RECORD;
    bound BIGINT;
BEGIN
    FOR own IN SELECT g.tenant_id, min(g.idx) AS lowest, max(g.idx) AS highest FROM gone AS g GROUP BY g.tenant_id LOOP
        bound := chancery_let_go_before(own.tenant_id);
        IF own.tenant_id IS DISTINCT FROM current_setting('chancery.tenant', true) OR EXISTS (
            SELECT 1 FROM audit_events AS e
            WHERE e.tenant_id = own.tenant_id AND e.idx >= own.lowest AND e.idx <= own.highest AND e.recorded_at >= bound
        ) THEN
            RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;

-- As before (0035), but for what lies behind the end of the log. It is of no entry, and somebody who wrote it there would stop the log for
-- ever: what comes would not begin alike. Where no log is seen, all of a tile stays.
CREATE OR REPLACE FUNCTION chancery_tile_widens() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    kept INT;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        kept := length(OLD.hashes);
        IF OLD.level BETWEEN 0 AND 7 THEN
            kept := least(kept, 32 * (
                SELECT greatest(0, least(256, (l.size >> (8 * OLD.level)::int) - 256 * OLD.idx))
                FROM audit_logs AS l WHERE l.tenant_id = OLD.tenant_id
            ));
        END IF;
        IF NEW.tenant_id = OLD.tenant_id AND NEW.level = OLD.level AND NEW.idx = OLD.idx AND length(NEW.hashes) <= 8192
            AND substr(NEW.hashes, 1, kept) = substr(OLD.hashes, 1, kept) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
