-- Intents of the audit log that have no outcome yet (ADR 0040): noted in the commit of the intent, forgotten in that of its outcome. What a
-- process left here when it died is closed by the next one.
CREATE TABLE audit_intents (
    tenant_id TEXT NOT NULL,
    event_id TEXT NOT NULL CHECK (event_id GLOB 'evt_[0-7]*' AND length(event_id) = 30 AND substr(event_id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*'),
    node_id TEXT NOT NULL,
    boot TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) STRICT, WITHOUT ROWID;
