-- Rows of a queue that are no events are put aside, byte for byte, each beside the event of the log that tells of it (ADR 0004).
-- Texts are bytes here: what somebody wrote need not be text.
CREATE TABLE audit_quarantine (
    tenant_id TEXT NOT NULL,
    told_by TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind BLOB NOT NULL,
    actor BLOB NOT NULL,
    resource BLOB,
    outcome INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    core BLOB NOT NULL,
    sealed BLOB,
    PRIMARY KEY (tenant_id, told_by)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_quarantine_keep_update BEFORE UPDATE ON audit_quarantine
BEGIN SELECT RAISE(ABORT, 'audit_quarantine only grows'); END;
CREATE TRIGGER audit_quarantine_keep_delete BEFORE DELETE ON audit_quarantine
BEGIN SELECT RAISE(ABORT, 'audit_quarantine only grows'); END;

-- What is kept when its month is purged (0048); also that a forged purge was dismissed, or a key revoked: otherwise the purge would be
-- told of again, and the key's row alone would say what a verdict rests on. Behind the end of a log lies nothing of it: what somebody
-- wrote there goes aside too, or nothing could come after it.
DROP TRIGGER audit_events_keep_delete;
CREATE TRIGGER audit_events_keep_delete BEFORE DELETE ON audit_events
WHEN OLD.idx < coalesce((SELECT l.size FROM audit_logs AS l WHERE l.tenant_id = OLD.tenant_id), 9223372036854775807) AND (
    OLD.kind IN ('key.activated', 'key.retired', 'key.revoked', 'certificate.issued', 'certificate.revoked', 'certificate.superseded',
        'log.head_noted', 'log.restore_accepted', 'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered',
        'audit.purge_dismissed')
    OR NOT EXISTS (
        SELECT 1 FROM audit_purges AS p
        WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM audit_holds AS h
        WHERE h.tenant_id = OLD.tenant_id AND (h.from_at IS NULL OR h.from_at <= OLD.recorded_at)
            AND (h.to_at IS NULL OR h.to_at > OLD.recorded_at)
    )
)
BEGIN SELECT RAISE(ABORT, 'audit_events only grows'); END;

DROP TRIGGER audit_references_keep_delete;
CREATE TRIGGER audit_references_keep_delete BEFORE DELETE ON audit_references
WHEN NOT EXISTS (
        SELECT 1 FROM audit_purges AS p
        WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM audit_events AS e
        WHERE e.tenant_id = OLD.tenant_id AND e.idx = OLD.idx AND (
            e.kind IN ('key.activated', 'key.retired', 'key.revoked', 'certificate.issued', 'certificate.revoked', 'certificate.superseded',
        'log.head_noted', 'log.restore_accepted', 'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered',
        'audit.purge_dismissed')
            OR EXISTS (
                SELECT 1 FROM audit_holds AS h
                WHERE h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                    AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
            )
        )
    )
BEGIN SELECT RAISE(ABORT, 'audit_references only grows'); END;

-- Of a part of a log there may be several rows: one that somebody forged, or whose file is lost, must not keep another from being written.
DROP TRIGGER audit_archives_keep_update;
DROP TRIGGER audit_archives_keep_delete;
ALTER TABLE audit_archives RENAME TO audit_archives_old;
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
    PRIMARY KEY (tenant_id, place, first_idx, event_id),
    CHECK (end_idx > first_idx)
) STRICT, WITHOUT ROWID;
INSERT INTO audit_archives SELECT * FROM audit_archives_old;
DROP TABLE audit_archives_old;
CREATE TRIGGER audit_archives_keep_update BEFORE UPDATE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'audit_archives only grows'); END;
CREATE TRIGGER audit_archives_keep_delete BEFORE DELETE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'audit_archives only grows'); END;
