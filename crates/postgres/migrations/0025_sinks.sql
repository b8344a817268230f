-- Which events name which things outside, so that what was done with one person's data is found without reading the log from end
-- to end. And how far each sink is in each log.

CREATE TABLE audit_references (
    tenant_id TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    idx BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, reference, idx)
);

-- The owner is under row security too, but for this one statement.
ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY;
INSERT INTO audit_references (tenant_id, reference, idx)
SELECT DISTINCT e.tenant_id, r.reference, e.idx
FROM audit_events AS e
    CROSS JOIN LATERAL json_array_elements_text(e.core::json -> 'resource' -> 'ref_hmac') AS r(reference)
WHERE strpos(e.core, '"ref_hmac":') > 0;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;

CREATE TABLE audit_sinks (
    tenant_id TEXT COLLATE "C" NOT NULL,
    sink TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    failing_since BIGINT,
    failures BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sink)
);

ALTER TABLE audit_references ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_references FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_references_of_tenant ON audit_references
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE audit_sinks ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_sinks FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_sinks_of_tenant ON audit_sinks
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
