-- How long logs are kept, what holds them, and what of them was purged (ADR 0025).

-- A tenant without a row keeps its log for six years and purges nothing by itself.
CREATE TABLE audit_retention (
    tenant_id TEXT COLLATE "C" NOT NULL,
    months BIGINT NOT NULL CHECK (months >= 72),
    automatic BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);

CREATE TABLE audit_holds (
    tenant_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- Without bounds it holds all of the log.
    from_at BIGINT,
    to_at BIGINT,
    placed_by TEXT COLLATE "C" NOT NULL,
    placed_at BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- Places of a log whose events are gone, or going while `ended_at` is null. Each is told of by an event of the log, which stays.
CREATE TABLE audit_purges (
    tenant_id TEXT COLLATE "C" NOT NULL,
    first_idx BIGINT NOT NULL CHECK (first_idx >= 0),
    end_idx BIGINT NOT NULL,
    month TEXT COLLATE "C" NOT NULL,
    events BIGINT NOT NULL,
    -- What comes before it is gone.
    next_idx BIGINT NOT NULL,
    certificate_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, first_idx),
    CHECK (end_idx > first_idx AND next_idx BETWEEN first_idx AND end_idx)
);

CREATE FUNCTION chancery_purge_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.ended_at IS NULL AND NEW.tenant_id = OLD.tenant_id AND NEW.first_idx = OLD.first_idx AND NEW.end_idx = OLD.end_idx
            AND NEW.month = OLD.month AND NEW.events = OLD.events AND NEW.certificate_id = OLD.certificate_id
            AND NEW.event_id = OLD.event_id AND NEW.begun_at = OLD.begun_at AND NEW.next_idx >= OLD.next_idx THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
CREATE TRIGGER audit_purges_keep BEFORE UPDATE OR DELETE ON audit_purges
    FOR EACH ROW EXECUTE FUNCTION chancery_purge_ends();
CREATE TRIGGER audit_purges_keep_all BEFORE TRUNCATE ON audit_purges
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();

-- An event goes only while a purge of its place is under way.
CREATE FUNCTION chancery_only_purged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT 1 FROM audit_purges AS p
            WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.end_idx > OLD.idx AND p.ended_at IS NULL
        ) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME;
END;
$$;
DROP TRIGGER audit_events_keep ON audit_events;
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();

-- What the events of some places name is forgotten without reading all that is named.
CREATE INDEX audit_references_idx ON audit_references (tenant_id, idx);

ALTER TABLE audit_retention ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_retention FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_retention_of_tenant ON audit_retention
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE audit_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_holds_of_tenant ON audit_holds
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE audit_purges ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_purges FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_purges_of_tenant ON audit_purges
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
