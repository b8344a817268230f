-- Builds before proofs filed what they said of holds and retention under no resource. It is still in the log, and is asked (ADR 0025).
CREATE INDEX audit_events_unfiled ON audit_events_kept (tenant_id, idx)
    WHERE resource IS NULL AND kind IN ('audit.retention_changed', 'audit.hold_placed', 'audit.hold_lifted');
