-- What a purge lets go, by the database itself (ADR 0025): nothing that is kept, nothing that is held, and nothing that the purge has
-- not got to. A migration that keeps further kinds replaces these triggers before there are events of them.

DROP TRIGGER audit_events_keep_delete;
CREATE TRIGGER audit_events_keep_delete BEFORE DELETE ON audit_events
WHEN OLD.kind IN ('key.activated', 'key.retired', 'certificate.issued', 'certificate.revoked', 'certificate.superseded', 'log.head_noted',
        'log.restore_accepted', 'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered')
    OR NOT EXISTS (
        SELECT 1 FROM audit_purges AS p
        WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM audit_holds AS h
        WHERE h.tenant_id = OLD.tenant_id AND (h.from_at IS NULL OR h.from_at <= OLD.recorded_at)
            AND (h.to_at IS NULL OR h.to_at > OLD.recorded_at)
    )
BEGIN SELECT RAISE(ABORT, 'audit_events only grows'); END;

-- The personal part of an event that is kept goes all the same.
DROP TRIGGER audit_sealed_keep_delete;
CREATE TRIGGER audit_sealed_keep_delete BEFORE DELETE ON audit_sealed
WHEN NOT EXISTS (
    SELECT 1 FROM audit_events AS e JOIN audit_purges AS p
        ON p.tenant_id = e.tenant_id AND p.first_idx <= e.idx AND p.next_idx > e.idx AND p.ended_at IS NULL
    WHERE e.tenant_id = OLD.tenant_id AND e.event_id = OLD.event_id
        AND NOT EXISTS (
            SELECT 1 FROM audit_holds AS h
            WHERE h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
        )
)
BEGIN SELECT RAISE(ABORT, 'audit_sealed only grows'); END;

-- What names an event goes with it: first, so the event is asked.
DROP TRIGGER audit_references_keep_delete;
CREATE TRIGGER audit_references_keep_delete BEFORE DELETE ON audit_references
WHEN NOT EXISTS (
        SELECT 1 FROM audit_purges AS p
        WHERE p.tenant_id = OLD.tenant_id AND p.first_idx <= OLD.idx AND p.next_idx > OLD.idx AND p.ended_at IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM audit_events AS e
        WHERE e.tenant_id = OLD.tenant_id AND e.idx = OLD.idx AND (
            e.kind IN ('key.activated', 'key.retired', 'certificate.issued', 'certificate.revoked', 'certificate.superseded', 'log.head_noted',
        'log.restore_accepted', 'audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted', 'audit.purge_ordered')
            OR EXISTS (
                SELECT 1 FROM audit_holds AS h
                WHERE h.tenant_id = e.tenant_id AND (h.from_at IS NULL OR h.from_at <= e.recorded_at)
                    AND (h.to_at IS NULL OR h.to_at > e.recorded_at)
            )
        )
    )
BEGIN SELECT RAISE(ABORT, 'audit_references only grows'); END;
