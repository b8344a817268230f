-- Indexes get a table of their own: several kinds for a field, some over several columns, each with the versions of its rule.

CREATE TABLE indexes (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    table_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    field_ids TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX indexes_name_key ON indexes (tenant_id, table_id, name) WHERE name <> '';

CREATE TABLE index_versions (
    tenant_id TEXT NOT NULL,
    index_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ready_at INTEGER,
    retired_at INTEGER,
    PRIMARY KEY (tenant_id, index_id, version),
    FOREIGN KEY (tenant_id, index_id) REFERENCES indexes (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- A field's exact index has the id of the field, so its terms stay what they were.
INSERT INTO indexes (tenant_id, id, table_id, name, kind, field_ids)
    SELECT tenant_id, 'idx_' || substr(id, 5), table_id, '', 'exact', '["' || id || '"]'
    FROM fields WHERE index_normalizer IS NOT NULL;
INSERT INTO index_versions (tenant_id, index_id, version, rule, state, created_at, ready_at, retired_at)
    SELECT tenant_id, 'idx_' || substr(id, 5), 1, 'exact ' || index_normalizer || '/1 ' || index_bits, 'ready', created_at, created_at, NULL
    FROM fields WHERE index_normalizer IS NOT NULL;

ALTER TABLE fields DROP COLUMN index_normalizer;
ALTER TABLE fields DROP COLUMN index_bits;

-- What a node holds of an index in memory is outdated by any change (ADR 0009).
CREATE TRIGGER indexes_epoch_insert AFTER INSERT ON indexes BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER indexes_epoch_update AFTER UPDATE ON indexes BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER indexes_epoch_delete AFTER DELETE ON indexes BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER index_versions_epoch_insert AFTER INSERT ON index_versions BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER index_versions_epoch_update AFTER UPDATE ON index_versions BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER index_versions_epoch_delete AFTER DELETE ON index_versions BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
