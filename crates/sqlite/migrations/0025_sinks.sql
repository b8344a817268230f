-- Which events name which things outside, so that what was done with one person's data is found without reading the log from end
-- to end. And how far each sink is in each log.

CREATE TABLE audit_references (
    tenant_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    idx INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, reference, idx)
) STRICT, WITHOUT ROWID;

INSERT INTO audit_references (tenant_id, reference, idx)
SELECT DISTINCT e.tenant_id, r.value, e.idx
FROM audit_events AS e CROSS JOIN json_each(e.core, '$.resource.ref_hmac') AS r
WHERE instr(e.core, '"ref_hmac":') > 0;

CREATE TABLE audit_sinks (
    tenant_id TEXT NOT NULL,
    sink TEXT NOT NULL,
    position INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    failing_since INTEGER,
    failures INTEGER NOT NULL,
    reason TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sink)
) STRICT, WITHOUT ROWID;
