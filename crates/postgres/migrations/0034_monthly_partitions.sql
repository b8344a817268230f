-- The audit log by the month (ADR 0028). Events and their personal parts of one month lie in tables of their own, so that a month
-- that was purged for everybody leaves the disk whole. What retention keeps, and the platform's log, lie apart from the months.

-- What is not purged. A migration that keeps further kinds replaces this function before there are events of them.
CREATE FUNCTION chancery_stays(tenant_id TEXT, kind TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT tenant_id COLLATE "C" = 'ten_platform' OR kind COLLATE "C" IN ('key.activated', 'key.retired', 'certificate.issued',
        'certificate.revoked', 'certificate.superseded', 'log.head_noted', 'log.restore_accepted', 'audit.retention_changed',
        'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered')
$$;

-- The tables anew. What is there becomes one of the parts, without being written again.

DROP TRIGGER audit_events_keep ON audit_events;
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events RENAME TO audit_events_old;
ALTER TABLE audit_sealed NO FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_sealed RENAME TO audit_sealed_old;

CREATE TABLE audit_events (
    tenant_id TEXT COLLATE "C" NOT NULL,
    idx BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C",
    outcome BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    core TEXT COLLATE "C" NOT NULL,
    leaf_hash BYTEA NOT NULL
) PARTITION BY LIST (chancery_stays(tenant_id, kind));
CREATE TABLE audit_events_months PARTITION OF audit_events FOR VALUES IN (false) PARTITION BY RANGE (recorded_at);

-- An id begins with the time it was made at, so ids are a range in time too.
CREATE TABLE audit_sealed (
    tenant_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL
) PARTITION BY LIST ((tenant_id = 'ten_platform'));
CREATE TABLE audit_sealed_months PARTITION OF audit_sealed FOR VALUES IN (false) PARTITION BY RANGE (event_id);

-- The month of a moment, and its bounds in microseconds. The first and the last month have an open end: no clock is outside.
CREATE FUNCTION chancery_month(at BIGINT, OUT month TEXT, OUT from_at BIGINT, OUT to_at BIGINT) LANGUAGE plpgsql STABLE AS $$
DECLARE
    seconds DOUBLE PRECISION := floor(least(greatest(at, -62135596800000000), 253402214400000000)::numeric / 1000000);
    start TIMESTAMP := date_trunc('month', TIMESTAMP '1970-01-01' + make_interval(secs => seconds));
BEGIN
    month := to_char(start, 'YYYY_MM');
    IF start > TIMESTAMP '0001-01-01' THEN
        from_at := extract(epoch FROM start)::bigint * 1000000;
    END IF;
    IF start < TIMESTAMP '9999-12-01' THEN
        to_at := extract(epoch FROM start + INTERVAL '1 month')::bigint * 1000000;
    END IF;
END;
$$;

-- How the ids of events of a moment begin, and when an id was made. Ids begin in 1970.
CREATE FUNCTION chancery_event_id(at BIGINT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT 'evt_' || string_agg(
        substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((greatest(at, 0) / 1000) >> (5 * digit) & 31)::int + 1, 1), '' ORDER BY digit DESC)
    FROM generate_series(0, 9) AS digit
$$;
CREATE FUNCTION chancery_made_at(event_id TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sum((strpos('0123456789ABCDEFGHJKMNPQRSTVWXYZ', substr(event_id, 14 - digit, 1)) - 1)::bigint << (5 * digit))::bigint * 1000
    FROM generate_series(0, 9) AS digit
$$;

-- The parts of a table and their bounds, as the catalogue has them: there is no second list.
CREATE FUNCTION chancery_parts(parent REGCLASS) RETURNS TABLE (part TEXT, low TEXT, high TEXT, leaving BOOLEAN) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text, b.bound[1], b.bound[2], i.inhdetachpending
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
            '^FOR VALUES FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)$') AS b(bound)
    WHERE i.inhparent = parent AND b.bound IS NOT NULL
$$;

-- Whether there is room for a month's events, and for their personal parts.
CREATE FUNCTION chancery_events_fit(from_at BIGINT, to_at BIGINT) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM chancery_parts('audit_events_months') AS p
        WHERE NOT p.leaving
            AND coalesce(nullif(p.low, 'MINVALUE')::numeric, '-Infinity') <= coalesce(from_at::numeric, '-Infinity')
            AND coalesce(nullif(p.high, 'MAXVALUE')::numeric, 'Infinity') >= coalesce(to_at::numeric, 'Infinity')
    )
$$;
CREATE FUNCTION chancery_sealed_fit(from_at BIGINT, to_at BIGINT) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT coalesce(to_at <= 0, false) OR EXISTS (
        SELECT 1 FROM chancery_parts('audit_sealed_months') AS p
        WHERE NOT p.leaving
            AND coalesce(nullif(p.low, 'MINVALUE'), '') COLLATE "C" <= chancery_event_id(coalesce(from_at, 0))
            AND coalesce(nullif(p.high, 'MAXVALUE'), '~') COLLATE "C" >= coalesce(chancery_event_id(to_at), '~')
    )
$$;

-- The second wall, also for whoever addresses a part directly.
CREATE FUNCTION chancery_wall(part TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('CREATE POLICY %I ON %I USING (tenant_id = current_setting(''chancery.tenant'', true))'
        ' WITH CHECK (tenant_id = current_setting(''chancery.tenant'', true))', part || '_of_tenant', part);
END;
$$;

-- A part of the events, standing alone: what is unique, what finds rows, its walls. A part's own keys need not name the moment.
CREATE FUNCTION chancery_make_events(part TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE audit_events INCLUDING DEFAULTS)', part);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (tenant_id, idx)', part, part || '_pkey');
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I (tenant_id, event_id)', part || '_event_key', part);
    EXECUTE format('CREATE INDEX %I ON %I (tenant_id, recorded_at)', part || '_recorded_at', part);
    EXECUTE format('CREATE INDEX %I ON %I (tenant_id, resource) WHERE resource IS NOT NULL', part || '_resource', part);
    -- The trigger for rows comes from the whole table, this one does not.
    EXECUTE format('CREATE TRIGGER audit_events_keep_all BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows()', part);
    PERFORM chancery_wall(part);
END;
$$;
CREATE FUNCTION chancery_make_sealed(part TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE audit_sealed INCLUDING DEFAULTS)', part);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (tenant_id, event_id)', part, part || '_pkey');
    PERFORM chancery_wall(part);
END;
$$;

-- Puts a part into its place. Nobody who reads or writes other parts waits.
CREATE FUNCTION chancery_attach(part TEXT, from_at BIGINT, to_at BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF starts_with(part, 'audit_events_') THEN
        EXECUTE format('ALTER TABLE audit_events_months ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part,
            coalesce(quote_literal(from_at), 'MINVALUE'), coalesce(quote_literal(to_at), 'MAXVALUE'));
    ELSE
        EXECUTE format('ALTER TABLE audit_sealed_months ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part,
            coalesce(quote_literal(chancery_event_id(from_at)), 'MINVALUE'), coalesce(quote_literal(chancery_event_id(to_at)), 'MAXVALUE'));
    END IF;
END;
$$;

-- Makes room for events of a moment, if there is none, and says from when to when there is. Called in a transaction of its own.
CREATE FUNCTION chancery_make_room(at BIGINT, OUT from_at BIGINT, OUT to_at BIGINT) LANGUAGE plpgsql AS $$
DECLARE
    month TEXT;
BEGIN
    SELECT m.month, m.from_at, m.to_at INTO month, from_at, to_at FROM chancery_month(at) AS m;
    IF chancery_events_fit(from_at, to_at) AND chancery_sealed_fit(from_at, to_at) THEN
        RETURN;
    END IF;
    -- One at a time. It shuts out others who change parts, and nobody else.
    LOCK TABLE ONLY audit_events_months IN SHARE UPDATE EXCLUSIVE MODE;
    IF NOT chancery_events_fit(from_at, to_at) THEN
        PERFORM chancery_make_events('audit_events_' || month);
        PERFORM chancery_attach('audit_events_' || month, from_at, to_at);
    END IF;
    IF NOT chancery_sealed_fit(from_at, to_at) THEN
        PERFORM chancery_make_sealed('audit_sealed_' || month);
        PERFORM chancery_attach('audit_sealed_' || month, from_at, to_at);
    END IF;
END;
$$;

-- For how many months from that of a moment on there is room, without a gap, counted to `most`.
CREATE FUNCTION chancery_room(at BIGINT, most BIGINT) RETURNS BIGINT LANGUAGE plpgsql STABLE AS $$
DECLARE
    counted BIGINT := 0;
    m RECORD;
BEGIN
    WHILE counted < most LOOP
        SELECT * INTO m FROM chancery_month(at);
        EXIT WHEN NOT chancery_events_fit(m.from_at, m.to_at) OR NOT chancery_sealed_fit(m.from_at, m.to_at);
        counted := counted + 1;
        EXIT WHEN m.to_at IS NULL;
        at := m.to_at;
    END LOOP;
    RETURN counted;
END;
$$;

-- Whether a part has no row of anybody. Row security would show its owner one tenant's alone, so it is lifted for the look; the part
-- is shut meanwhile.
CREATE FUNCTION chancery_is_spent(part TEXT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    spent BOOLEAN;
BEGIN
    IF part !~ '^audit_(events|sealed)_(until_)?\d{4}_\d\d$' THEN
        RAISE EXCEPTION '% is no month of the audit log', part;
    END IF;
    EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('SELECT NOT EXISTS (SELECT 1 FROM %I)', part) INTO spent;
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    RETURN spent;
END;
$$;

-- Drops a part that was taken out and has no row of anybody.
CREATE FUNCTION chancery_drop_part(part TEXT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce((SELECT c.relispartition FROM pg_class AS c WHERE c.oid = to_regclass(part)), true) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part);
    IF NOT chancery_is_spent(part) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
    RETURN true;
END;
$$;

-- Puts a part that was taken out back into its place.
CREATE FUNCTION chancery_return_part(part TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    m RECORD;
BEGIN
    IF part !~ '^audit_(events|sealed)_(until_)?\d{4}_\d\d$' THEN
        RAISE EXCEPTION '% is no month of the audit log', part;
    END IF;
    IF coalesce((SELECT c.relispartition FROM pg_class AS c WHERE c.oid = to_regclass(part)), true) THEN
        RETURN;
    END IF;
    SELECT * INTO m FROM chancery_month(extract(epoch FROM to_date(right(part, 7), 'YYYY_MM')::timestamp)::bigint * 1000000);
    IF strpos(part, '_until_') > 0 THEN
        PERFORM chancery_attach(part, NULL, m.from_at);
    ELSE
        PERFORM chancery_attach(part, m.from_at, m.to_at);
    END IF;
END;
$$;

SELECT chancery_make_events('audit_events_kept');
ALTER TABLE audit_events ATTACH PARTITION audit_events_kept FOR VALUES IN (true);
SELECT chancery_make_sealed('audit_sealed_platform');
ALTER TABLE audit_sealed ATTACH PARTITION audit_sealed_platform FOR VALUES IN (true);

DO $$
DECLARE
    now_at BIGINT := (extract(epoch FROM now()) * 1000000)::bigint;
    cut BIGINT := (SELECT m.to_at FROM chancery_month(now_at) AS m);
    until TEXT := 'until_' || (SELECT m.month FROM chancery_month(cut) AS m);
    at BIGINT;
BEGIN
    IF EXISTS (SELECT 1 FROM audit_events_old) OR EXISTS (SELECT 1 FROM audit_sealed_old) THEN
        -- What a clock that was ahead recorded lies in months of its own.
        FOR at IN
            SELECT DISTINCT o.recorded_at FROM audit_events_old AS o WHERE o.recorded_at >= cut
            UNION SELECT DISTINCT chancery_made_at(o.event_id) FROM audit_sealed_old AS o WHERE o.event_id >= chancery_event_id(cut)
        LOOP
            PERFORM chancery_make_room(at);
        END LOOP;
        WITH moved AS (
            DELETE FROM audit_events_old AS o WHERE chancery_stays(o.tenant_id, o.kind) OR o.recorded_at >= cut RETURNING o.*
        )
        INSERT INTO audit_events SELECT * FROM moved;
        WITH moved AS (
            DELETE FROM audit_sealed_old AS o WHERE o.tenant_id = 'ten_platform' OR o.event_id >= chancery_event_id(cut) RETURNING o.*
        )
        INSERT INTO audit_sealed SELECT * FROM moved;
        EXECUTE format('ALTER TABLE audit_events_old RENAME TO %I', 'audit_events_' || until);
        EXECUTE format('ALTER INDEX audit_events_pkey RENAME TO %I', 'audit_events_' || until || '_pkey');
        EXECUTE format('ALTER INDEX audit_events_event_key RENAME TO %I', 'audit_events_' || until || '_event_key');
        EXECUTE format('ALTER INDEX audit_events_recorded_at RENAME TO %I', 'audit_events_' || until || '_recorded_at');
        EXECUTE format('ALTER INDEX audit_events_resource RENAME TO %I', 'audit_events_' || until || '_resource');
        EXECUTE format('ALTER TABLE audit_sealed_old RENAME TO %I', 'audit_sealed_' || until);
        EXECUTE format('ALTER INDEX audit_sealed_pkey RENAME TO %I', 'audit_sealed_' || until || '_pkey');
        PERFORM chancery_attach('audit_events_' || until, NULL, cut);
        PERFORM chancery_attach('audit_sealed_' || until, NULL, cut);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', 'audit_events_' || until);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', 'audit_sealed_' || until);
    ELSE
        DROP TABLE audit_events_old, audit_sealed_old;
    END IF;
    FOR ahead IN 0..3 LOOP
        PERFORM chancery_make_room(now_at);
        now_at := (SELECT m.to_at FROM chancery_month(now_at) AS m);
    END LOOP;
END;
$$;

-- The trigger goes to every part, also to those that come later.
CREATE TRIGGER audit_events_keep BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chancery_only_purged();
CREATE TRIGGER audit_events_keep_all BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
CREATE TRIGGER audit_events_keep_all BEFORE TRUNCATE ON audit_events_months
    FOR EACH STATEMENT EXECUTE FUNCTION chancery_only_grows();
SELECT chancery_wall('audit_events');
SELECT chancery_wall('audit_events_months');
SELECT chancery_wall('audit_sealed');
SELECT chancery_wall('audit_sealed_months');
