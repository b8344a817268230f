-- The head of a log that the platform's log told of last is looked for in that log itself (ADR 0022): a row beside it could name an older
-- one. `audit_noted_heads` stays for nodes of the build before this one.
CREATE INDEX audit_heads_told ON audit_events (tenant_id, resource, idx) WHERE kind = 'log.head_noted';

-- A row that nobody can read cannot be taken away from what only grows. It is passed over and told of, and not taken in the first place.
CREATE TRIGGER audit_purges_form BEFORE INSERT ON audit_purges
WHEN NOT ((NEW.month GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]' AND substr(NEW.month, 6) BETWEEN '01' AND '12') AND NEW.events >= 0
    AND (NEW.certificate_id GLOB 'crt_[0-7]*' AND length(NEW.certificate_id) = 30 AND substr(NEW.certificate_id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*')
    AND (NEW.event_id GLOB 'evt_[0-7]*' AND length(NEW.event_id) = 30 AND substr(NEW.event_id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*'))
BEGIN SELECT RAISE(ABORT, 'no purge'); END;
CREATE TRIGGER audit_archives_form BEFORE INSERT ON audit_archives
WHEN NOT ((NEW.month GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]' AND substr(NEW.month, 6) BETWEEN '01' AND '12') AND length(NEW.digest) = 32 AND NEW.bytes >= 0
    AND (NEW.event_id GLOB 'evt_[0-7]*' AND length(NEW.event_id) = 30 AND substr(NEW.event_id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*'))
BEGIN SELECT RAISE(ABORT, 'no archive'); END;
CREATE TRIGGER certificates_form BEFORE INSERT ON certificates
WHEN NOT ((NEW.id GLOB 'crt_[0-7]*' AND length(NEW.id) = 30 AND substr(NEW.id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*')
    AND (NEW.event_id GLOB 'evt_[0-7]*' AND length(NEW.event_id) = 30 AND substr(NEW.event_id, 5) NOT GLOB '*[^0-9A-HJKMNP-TV-Z]*'))
BEGIN SELECT RAISE(ABORT, 'no certificate'); END;
