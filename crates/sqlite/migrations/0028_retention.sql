-- How long logs are kept, what holds them, and what of them was purged (ADR 0025).

-- A tenant without a row keeps its log for six years and purges nothing by itself.
CREATE TABLE audit_retention (
    tenant_id TEXT NOT NULL,
    months INTEGER NOT NULL CHECK (months >= 72),
    automatic INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_holds (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Without bounds it holds all of the log.
    from_at INTEGER,
    to_at INTEGER,
    placed_by TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

-- Places of a log whose events are gone, or going while `ended_at` is null. Each is told of by an event of the log, which stays.
CREATE TABLE audit_purges (
    tenant_id TEXT NOT NULL,
    first_idx INTEGER NOT NULL CHECK (first_idx >= 0),
    end_idx INTEGER NOT NULL,
    month TEXT NOT NULL,
    events INTEGER NOT NULL,
    -- What comes before it is gone.
    next_idx INTEGER NOT NULL,
    certificate_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant_id, first_idx),
    CHECK (end_idx > first_idx AND next_idx BETWEEN first_idx AND end_idx)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_purges_keep_update BEFORE UPDATE ON audit_purges
WHEN OLD.ended_at IS NOT NULL OR NEW.tenant_id <> OLD.tenant_id OR NEW.first_idx <> OLD.first_idx OR NEW.end_idx <> OLD.end_idx
    OR NEW.month <> OLD.month OR NEW.events <> OLD.events OR NEW.certificate_id <> OLD.certificate_id
    OR NEW.event_id <> OLD.event_id OR NEW.begun_at <> OLD.begun_at OR NEW.next_idx < OLD.next_idx
BEGIN SELECT RAISE(ABORT, 'audit_purges only grows'); END;
CREATE TRIGGER audit_purges_keep_delete BEFORE DELETE ON audit_purges
BEGIN SELECT RAISE(ABORT, 'audit_purges only grows'); END;

-- An event goes only while a purge of its place is under way.
DROP TRIGGER audit_events_keep_delete;
CREATE TRIGGER audit_events_keep_delete BEFORE DELETE ON audit_events
WHEN NOT EXISTS (
    SELECT 1 FROM audit_purges AS p
    WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.end_idx > OLD.idx AND p.ended_at IS NULL
)
BEGIN SELECT RAISE(ABORT, 'audit_events only grows'); END;

-- What the events of some places name is forgotten without reading all that is named.
CREATE INDEX audit_references_idx ON audit_references (tenant_id, idx);
