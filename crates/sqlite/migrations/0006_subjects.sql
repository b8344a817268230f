-- The keys of single persons. PostgreSQL's migration of this name has the same table.
--
-- These rows belong into the key bundle and never into the data backup. Handle and reference are lower-case hex, so that
-- a list of them can be looked up by index. A destroyed key keeps its row without its wrap: the tombstone.

CREATE TABLE subject_keys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    handle TEXT NOT NULL,
    reference TEXT NOT NULL,
    reference_key TEXT NOT NULL,
    wrapped BLOB,
    root_key TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    destroyed_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    CHECK ((state = 'active') = (wrapped IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subject_keys_handle_key ON subject_keys (tenant_id, handle);
CREATE INDEX subject_keys_reference ON subject_keys (tenant_id, reference);
CREATE UNIQUE INDEX subject_keys_active_key ON subject_keys (tenant_id, reference) WHERE state = 'active';

-- A new person stops nobody's key; a destroyed one does, and nodes drop what they were about to release.
CREATE TRIGGER subject_keys_epoch_update AFTER UPDATE ON subject_keys BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER subject_keys_epoch_delete AFTER DELETE ON subject_keys BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
