-- Closed months in files outside the store, and no way to change what only grows (ADR 0025, ADR 0026).

-- Whether a month is purged only when it is archived.
ALTER TABLE audit_retention ADD COLUMN archive_first INTEGER NOT NULL DEFAULT 0 CHECK (archive_first IN (0, 1));

-- Parts of a log that were written into a place outside, and read back.
CREATE TABLE audit_archives (
    tenant_id TEXT NOT NULL,
    place TEXT NOT NULL,
    first_idx INTEGER NOT NULL CHECK (first_idx >= 0),
    end_idx INTEGER NOT NULL,
    month TEXT NOT NULL,
    -- SHA-256 of the file.
    digest BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, place, first_idx),
    CHECK (end_idx > first_idx)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_archives_keep_update BEFORE UPDATE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'audit_archives only grows'); END;
CREATE TRIGGER audit_archives_keep_delete BEFORE DELETE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'audit_archives only grows'); END;

-- What was decided of one thing is found without reading all that was ever decided.
CREATE INDEX approvals_resource ON approvals (tenant_id, kind, resource);

-- Personal parts, and what events are found by, go with a purge of their places and in no other way.
CREATE TRIGGER audit_sealed_keep_update BEFORE UPDATE ON audit_sealed
BEGIN SELECT RAISE(ABORT, 'audit_sealed only grows'); END;
CREATE TRIGGER audit_sealed_keep_delete BEFORE DELETE ON audit_sealed
WHEN NOT EXISTS (
    SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
        ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.end_idx > e.idx AND p.ended_at IS NULL
    WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id
)
BEGIN SELECT RAISE(ABORT, 'audit_sealed only grows'); END;
CREATE TRIGGER audit_references_keep_update BEFORE UPDATE ON audit_references
BEGIN SELECT RAISE(ABORT, 'audit_references only grows'); END;
CREATE TRIGGER audit_references_keep_delete BEFORE DELETE ON audit_references
WHEN NOT EXISTS (
    SELECT 1 FROM audit_purges AS p
    WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.end_idx > OLD.idx AND p.ended_at IS NULL
)
BEGIN SELECT RAISE(ABORT, 'audit_references only grows'); END;

-- A tile only widens, a log only becomes longer, and an event is not changed while it is queued.
CREATE TRIGGER audit_tiles_keep_update BEFORE UPDATE ON audit_tiles
WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.level <> OLD.level OR NEW.idx <> OLD.idx
    OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes
BEGIN SELECT RAISE(ABORT, 'audit_tiles only grows'); END;
CREATE TRIGGER audit_tiles_keep_delete BEFORE DELETE ON audit_tiles
BEGIN SELECT RAISE(ABORT, 'audit_tiles only grows'); END;
CREATE TRIGGER audit_logs_keep_update BEFORE UPDATE ON audit_logs
WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.origin <> OLD.origin OR NEW.size < OLD.size
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'audit_logs only grows'); END;
CREATE TRIGGER audit_logs_keep_delete BEFORE DELETE ON audit_logs
BEGIN SELECT RAISE(ABORT, 'audit_logs only grows'); END;
CREATE TRIGGER audit_queue_keep_update BEFORE UPDATE ON audit_queue
BEGIN SELECT RAISE(ABORT, 'audit_queue only grows'); END;
