-- What a rotation of the subject root needs. SQLite's migration of this name has the same table.
--
-- References of persons are made with a key that derives from a version of the subject root. That key is carried over
-- under the newest version, so that persons are found and the erased are known when the old version is gone. These rows
-- belong into the key bundle.

CREATE TABLE subject_references (
    tenant_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    handle TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    root_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, key_id)
);

-- What is still under a version is asked for every few seconds.
CREATE INDEX subject_keys_root ON subject_keys (tenant_id, root_key, id) WHERE state = 'active';
CREATE INDEX subject_keys_named_by ON subject_keys (tenant_id, reference_key);

ALTER TABLE subject_references ENABLE ROW LEVEL SECURITY;
ALTER TABLE subject_references FORCE ROW LEVEL SECURITY;
CREATE POLICY subject_references_of_tenant ON subject_references
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- Nodes hold these keys in their leases.
CREATE CONSTRAINT TRIGGER subject_references_epoch AFTER INSERT OR UPDATE OR DELETE ON subject_references
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
