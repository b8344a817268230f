-- What a purge lets go, by the database itself (ADR 0025): nothing that is kept, nothing that is held, and nothing that the purge has
-- not got to. What is kept says `chancery_stays` of any tenant's log but the platform's, which is whole anyway.

CREATE OR REPLACE FUNCTION chancery_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
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

-- The personal part of an event that is kept goes all the same.
CREATE OR REPLACE FUNCTION chancery_sealed_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
                ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.next_idx > e.idx AND p.ended_at IS NULL
            WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id
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

-- What names an event goes with it: first, so the event is asked. What is kept lies apart from the months, and those are looked
-- through only while somebody holds something.
CREATE FUNCTION chancery_references_only_purged() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
                SELECT 1 FROM audit_purges AS p
                WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
            )
            AND NOT EXISTS (
                SELECT 1 FROM audit_events_kept AS e
                WHERE e.tenant_id = OLD.tenant_id AND e.idx = OLD.idx AND chancery_stays('', e.kind)
            )
            AND (
                NOT EXISTS (SELECT 1 FROM audit_holds AS h WHERE h.tenant_id = OLD.tenant_id)
                OR NOT EXISTS (
                    SELECT 1 FROM audit_events AS e JOIN audit_holds AS h
                        ON h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                            AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
                    WHERE e.tenant_id = OLD.tenant_id AND e.idx = OLD.idx
                )
            ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
DROP TRIGGER audit_references_keep ON audit_references;
CREATE TRIGGER audit_references_keep BEFORE UPDATE OR DELETE ON audit_references
    FOR EACH ROW EXECUTE FUNCTION chancery_references_only_purged();
