-- Closed months in files outside the store, and no way to change what only grows (ADR 0025, ADR 0026).

-- Whether a month is purged only when it is archived.
ALTER TABLE audit_retention ADD COLUMN archive_first BOOLEAN NOT NULL DEFAULT FALSE;

-- Parts of a log that were written into a place outside, and read back.
CREATE TABLE audit_archives (
    tenant_id TEXT COLLATE "C" NOT NULL,
    place TEXT COLLATE "C" NOT NULL,
    first_idx BIGINT NOT NULL CHECK (first_idx >= 0),
    end_idx BIGINT NOT NULL,
    month TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the file.
    digest BYTEA NOT NULL,
    bytes BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    written_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, place, first_idx),
    CHECK (end_idx > first_idx)
);

CREATE TRIGGER audit_archives_keep BEFORE UPDATE OR DELETE ON audit_archives
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_archives_keep_all BEFORE TRUNCATE ON audit_archives
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

-- What was decided of one thing is found without reading all that was ever decided.
CREATE INDEX approvals_resource ON approvals (tenant_id, kind, resource);

-- Personal parts, and what events are found by, go with a purge of their places and in no other way.
CREATE FUNCTION chancery_sealed_only_purged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
                ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.end_idx > e.idx AND p.ended_at IS NULL
            WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER audit_sealed_keep BEFORE UPDATE OR DELETE ON audit_sealed
    FOR EACH ROW EXECUTE FUNCTION chancery_sealed_only_purged();
CREATE TRIGGER audit_sealed_keep_all BEFORE TRUNCATE ON audit_sealed
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_references_keep BEFORE UPDATE OR DELETE ON audit_references
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();
CREATE TRIGGER audit_references_keep_all BEFORE TRUNCATE ON audit_references
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

-- A tile only widens, a log only becomes longer, and an event is not changed while it is queued.
CREATE FUNCTION chancery_tile_widens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.tenant_id = OLD.tenant_id AND NEW.level = OLD.level AND NEW.idx = OLD.idx
            AND substr(NEW.hashes, 1, length(OLD.hashes)) = OLD.hashes THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER audit_tiles_keep BEFORE UPDATE OR DELETE ON audit_tiles
    FOR EACH ROW EXECUTE FUNCTION chancery_tile_widens();
CREATE TRIGGER audit_tiles_keep_all BEFORE TRUNCATE ON audit_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE FUNCTION chancery_log_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.tenant_id = OLD.tenant_id AND NEW.origin = OLD.origin
            AND (NEW.size > OLD.size OR (NEW.size = OLD.size AND NEW.root = OLD.root)) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER audit_logs_keep BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION chancery_log_grows();
CREATE TRIGGER audit_logs_keep_all BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_queue_keep BEFORE UPDATE ON audit_queue
    FOR EACH ROW EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_queue_keep_all BEFORE TRUNCATE ON audit_queue
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

ALTER TABLE audit_archives ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_archives FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_archives_of_tenant ON audit_archives
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- Months of personal parts (ADR 0028): the trigger for rows comes from the whole table, the one against emptying does not.
CREATE OR REPLACE FUNCTION chancery_make_sealed(part TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE audit_sealed INCLUDING DEFAULTS)', part);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (tenant_id, event_id)', part, part || '_pkey');
    EXECUTE format('CREATE TRIGGER audit_sealed_keep_all BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows()', part);
    PERFORM chancery_wall(part);
END;
$$;
DO $$
DECLARE
    part REGCLASS;
BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('audit_sealed') WHERE isleaf LOOP
        EXECUTE format('CREATE TRIGGER audit_sealed_keep_all BEFORE TRUNCATE ON %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows()', part);
    END LOOP;
END;
$$;

-- A month that is out, because somebody died before it was dropped or put back, goes back when there is something for it.
CREATE OR REPLACE FUNCTION chancery_make_room(at BIGINT, OUT from_at BIGINT, OUT to_at BIGINT) LANGUAGE plpgsql AS $$
DECLARE
    month TEXT;
BEGIN
    SELECT m.month, m.from_at, m.to_at INTO month, from_at, to_at FROM chancery_month(at) AS m;
    IF chancery_events_fit(from_at, to_at) AND chancery_sealed_fit(from_at, to_at) THEN
        RETURN;
    END IF;
    LOCK TABLE ONLY audit_events_months IN SHARE UPDATE EXCLUSIVE MODE;
    IF NOT chancery_events_fit(from_at, to_at) THEN
        IF to_regclass('audit_events_' || month) IS NULL THEN
            PERFORM chancery_make_events('audit_events_' || month);
        END IF;
        PERFORM chancery_attach('audit_events_' || month, from_at, to_at);
    END IF;
    IF NOT chancery_sealed_fit(from_at, to_at) THEN
        IF to_regclass('audit_sealed_' || month) IS NULL THEN
            PERFORM chancery_make_sealed('audit_sealed_' || month);
        END IF;
        PERFORM chancery_attach('audit_sealed_' || month, from_at, to_at);
    END IF;
END;
$$;

-- What a trigger looks up is looked up in our tables: temporary ones of whoever fires it come last, and not before all others.
DO $$
DECLARE
    fired REGPROCEDURE;
BEGIN
    FOR fired IN SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prorettype = 'trigger'::regtype
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', fired);
    END LOOP;
END;
$$;
