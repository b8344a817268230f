-- The head of a log that the platform's log told of last is looked for in that log itself (ADR 0022): a row beside it could name an older
-- one. `audit_noted_heads` stays for nodes of the build before this one.
CREATE INDEX audit_heads_told ON audit_events_kept (tenant_id, resource, idx) WHERE kind = 'log.head_noted';

-- A row that nobody can read cannot be taken away from what only grows. It is passed over and told of, and not taken in the first place.
ALTER TABLE audit_purges ADD CONSTRAINT audit_purges_form CHECK (
    month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$' AND events >= 0
    AND certificate_id ~ '^crt_[0-7][0-9A-HJKMNP-TV-Z]{25}$' AND event_id ~ '^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$'
) NOT VALID;
ALTER TABLE audit_archives ADD CONSTRAINT audit_archives_form CHECK (
    month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$' AND octet_length(digest) = 32 AND bytes >= 0 AND event_id ~ '^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$'
) NOT VALID;
ALTER TABLE certificates ADD CONSTRAINT certificates_form CHECK (
    id ~ '^crt_[0-7][0-9A-HJKMNP-TV-Z]{25}$' AND event_id ~ '^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$'
) NOT VALID;
