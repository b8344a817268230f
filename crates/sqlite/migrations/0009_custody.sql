-- What is left of destroyed keys, and which backups were made.

CREATE TABLE tombstones (
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    handle BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    destroyed_at INTEGER NOT NULL,
    destroyed_by TEXT NOT NULL,
    approval TEXT,
    certificate TEXT,
    PRIMARY KEY (tenant_id, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER tombstones_keep_update BEFORE UPDATE ON tombstones
BEGIN SELECT RAISE(ABORT, 'tombstones only grows'); END;
CREATE TRIGGER tombstones_keep_delete BEFORE DELETE ON tombstones
BEGIN SELECT RAISE(ABORT, 'tombstones only grows'); END;

CREATE TABLE backups (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    id TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    header_sha256 BLOB NOT NULL,
    keys_expire_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
