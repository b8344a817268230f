-- The keys of single persons. SQLite's migration of this name has the same table.
--
-- These rows belong into the key bundle and never into the data backup. Handle and reference are lower-case hex, so that
-- a list of them can be looked up by index. A destroyed key keeps its row without its wrap: the tombstone.

CREATE TABLE subject_keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    handle TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    reference_key TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA,
    root_key TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    CHECK ((state = 'active') = (wrapped IS NOT NULL))
);
CREATE UNIQUE INDEX subject_keys_handle_key ON subject_keys (tenant_id, handle);
CREATE INDEX subject_keys_reference ON subject_keys (tenant_id, reference);
CREATE UNIQUE INDEX subject_keys_active_key ON subject_keys (tenant_id, reference) WHERE state = 'active';

ALTER TABLE subject_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE subject_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY subject_keys_of_tenant ON subject_keys
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- A new person stops nobody's key; a destroyed one does, and nodes drop what they were about to release.
CREATE CONSTRAINT TRIGGER subject_keys_epoch AFTER UPDATE OR DELETE ON subject_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
