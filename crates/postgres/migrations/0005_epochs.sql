-- The epoch of each tenant: it rises with every change of what a node may hold of it in memory (keys, their versions, tenant keys,
-- fields, the tenant's state), in the transaction of that change and by a trigger, so that no statement can forget it.
-- ADR 0009 says who reads it and when.
--
-- A part of the directory: numbers only, and nodes ask for those of all tenants at once, so there is no row security.

CREATE TABLE directory_epochs (
    tenant_id TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);
CREATE INDEX directory_epochs_changed ON directory_epochs (changed);

-- `changed` is the transaction's own number: whoever saw everything below a snapshot's xmin asks for what is not below it.
-- Deferred, so the row is locked at the very end: two changes of one tenant neither wait for each other nor cross.
-- One transaction raises it once.
CREATE FUNCTION chancery_new_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    whose TEXT;
BEGIN
    IF TG_OP = 'DELETE' THEN
        whose := OLD.tenant_id;
    ELSE
        whose := NEW.tenant_id;
    END IF;
    INSERT INTO directory_epochs AS e (tenant_id, epoch, changed)
    VALUES (whose, 1, pg_current_xact_id()::text::bigint)
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = e.epoch + 1, changed = excluded.changed
    WHERE e.changed <> excluded.changed;
    RETURN NULL;
END;
$$;
CREATE CONSTRAINT TRIGGER tenant_keys_epoch AFTER INSERT OR UPDATE OR DELETE ON tenant_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER keys_epoch AFTER INSERT OR UPDATE OR DELETE ON keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
-- Not when its uses are counted.
CREATE CONSTRAINT TRIGGER key_versions_epoch AFTER INSERT OR DELETE OR UPDATE OF key, version, key_id, handle, state, wrapped, tenant_key_version, public_jwk, provider, resident_id, activated_at,
    expires_at ON key_versions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER fields_epoch AFTER INSERT OR UPDATE OR DELETE ON fields
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER directory_tenants_epoch AFTER INSERT OR UPDATE OR DELETE ON directory_tenants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();

-- Whoever is there already begins at 1.
INSERT INTO directory_epochs (tenant_id, epoch, changed)
SELECT tenant_id, 1, pg_current_xact_id()::text::bigint FROM directory_tenants;
