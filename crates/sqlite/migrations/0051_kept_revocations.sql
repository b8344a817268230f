-- That a key was revoked is kept when its month is purged, beside what is kept already (0050): a verdict rests on it, and not on the key's row.

DROP TRIGGER audit_events_keep_delete;
CREATE TRIGGER audit_events_keep_delete BEFORE DELETE ON audit_events
WHEN OLD.kind IN ('key.activated', 'key.retired', 'key.revoked', 'certificate.issued', 'certificate.revoked', 'certificate.superseded',
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
