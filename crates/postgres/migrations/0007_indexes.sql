-- Indexes get a table of their own: several kinds for a field, some over several columns, each with the versions of its rule.

CREATE TABLE indexes (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    table_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    field_ids TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX indexes_name_key ON indexes (tenant_id, table_id, name) WHERE name <> '';

CREATE TABLE index_versions (
    tenant_id TEXT COLLATE "C" NOT NULL,
    index_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    ready_at BIGINT,
    retired_at BIGINT,
    PRIMARY KEY (tenant_id, index_id, version),
    FOREIGN KEY (tenant_id, index_id) REFERENCES indexes (tenant_id, id)
);

-- A field's exact index has the id of the field, so its terms stay what they were. Row security is forced on the owner
-- of `fields` too, and a migration belongs to no tenant: it sees the rows of all for this one step.
ALTER TABLE fields NO FORCE ROW LEVEL SECURITY;
INSERT INTO indexes (tenant_id, id, table_id, name, kind, field_ids)
    SELECT tenant_id, 'idx_' || substr(id, 5), table_id, '', 'exact', '["' || id || '"]'
    FROM fields WHERE index_normalizer IS NOT NULL;
INSERT INTO index_versions (tenant_id, index_id, version, rule, state, created_at, ready_at, retired_at)
    SELECT tenant_id, 'idx_' || substr(id, 5), 1, 'exact ' || index_normalizer || '/1 ' || index_bits, 'ready', created_at, created_at, NULL
    FROM fields WHERE index_normalizer IS NOT NULL;
ALTER TABLE fields DROP COLUMN index_normalizer;
ALTER TABLE fields DROP COLUMN index_bits;
ALTER TABLE fields FORCE ROW LEVEL SECURITY;

ALTER TABLE indexes ENABLE ROW LEVEL SECURITY;
ALTER TABLE indexes FORCE ROW LEVEL SECURITY;
CREATE POLICY indexes_of_tenant ON indexes
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE index_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE index_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY index_versions_of_tenant ON index_versions
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- What a node holds of an index in memory is outdated by any change (ADR 0009).
CREATE CONSTRAINT TRIGGER indexes_epoch AFTER INSERT OR UPDATE OR DELETE ON indexes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER index_versions_epoch AFTER INSERT OR UPDATE OR DELETE ON index_versions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
