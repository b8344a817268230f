-- PostgreSQL asks of itself whether something may go (ADR 0044). In SQLite whoever serves owns the file and its triggers: there is nobody
-- whom such a wall would stop.

-- A tile only widens (0035), but for what lies behind the end of the log. It is of no entry, and somebody who wrote it there would stop the
-- log for ever: what comes would not begin alike. Where there is no log, all of a tile stays.
DROP TRIGGER audit_tiles_keep_update;
CREATE TRIGGER audit_tiles_keep_update BEFORE UPDATE ON audit_tiles
WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.level <> OLD.level OR NEW.idx <> OLD.idx OR length(NEW.hashes) > 8192
    OR EXISTS (
        SELECT 1 FROM (
            SELECT min(length(OLD.hashes), coalesce(32 * (
                SELECT max(0, min(256, (l.size >> (8 * OLD.level)) - 256 * OLD.idx)) FROM audit_logs AS l WHERE l.tenant_id = OLD.tenant_id
            ), length(OLD.hashes))) AS kept
        ) AS reached
        WHERE length(NEW.hashes) < kept OR substr(NEW.hashes, 1, kept) <> substr(OLD.hashes, 1, kept)
    )
BEGIN SELECT RAISE(ABORT, 'audit_tiles only grows'); END;
