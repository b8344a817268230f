-- The head of a log that the platform's log told of last is looked for in that log itself (ADR 0022): a row beside it could name an older
-- one. `audit_noted_heads` is neither read nor written from here on.
CREATE INDEX audit_heads_told ON audit_events_kept (tenant_id, resource, idx) WHERE kind = 'log.head_noted';
