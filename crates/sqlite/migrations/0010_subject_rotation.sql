-- What a rotation of the subject root needs. PostgreSQL's migration of this name has the same table.
--
-- References of persons are made with a key that derives from a version of the subject root. That key is carried over
-- under the newest version, so that persons are found and the erased are known when the old version is gone. These rows
-- belong into the key bundle.

CREATE TABLE subject_references (
    tenant_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    handle TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    root_key TEXT NOT NULL,
    PRIMARY KEY (tenant_id, key_id)
) STRICT, WITHOUT ROWID;

-- What is still under a version is asked for every few seconds.
CREATE INDEX subject_keys_root ON subject_keys (tenant_id, root_key, id) WHERE state = 'active';
CREATE INDEX subject_keys_named_by ON subject_keys (tenant_id, reference_key);

-- Nodes hold these keys in their leases.
CREATE TRIGGER subject_references_epoch_insert AFTER INSERT ON subject_references BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER subject_references_epoch_update AFTER UPDATE ON subject_references BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER subject_references_epoch_delete AFTER DELETE ON subject_references BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
