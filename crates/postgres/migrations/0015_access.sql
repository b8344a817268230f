-- API keys: when one was used last, what replaced it, keys of other systems by the beginning of their SHA-256; roles that tenants
-- define. What a node remembers of a caller is outdated by each change of them: they raise the epoch (ADR 0009, ADR 0017).

ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT COLLATE "C";

-- A part of the directory. The prefix is 32 bits: it finds a key and tells nothing of it.
CREATE TABLE directory_old_api_keys (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX directory_old_api_keys_prefix ON directory_old_api_keys (prefix);

CREATE TABLE roles (
    tenant_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    base TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE role_holders (
    tenant_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    given_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, role, holder),
    FOREIGN KEY (tenant_id, role) REFERENCES roles (tenant_id, name)
);
CREATE INDEX role_holders_holder ON role_holders (tenant_id, holder);

-- Not when one is made, is used or follows the pepper: nobody remembers anything of it by then, or nothing else.
CREATE CONSTRAINT TRIGGER api_keys_epoch AFTER UPDATE OF roles, allowed_cidrs, expires_at, revoked_at ON api_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER roles_epoch AFTER UPDATE OR DELETE ON roles
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER role_holders_epoch AFTER INSERT OR DELETE ON role_holders
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chancery_new_epoch();

ALTER TABLE roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles FORCE ROW LEVEL SECURITY;
CREATE POLICY roles_of_tenant ON roles
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE role_holders ENABLE ROW LEVEL SECURITY;
ALTER TABLE role_holders FORCE ROW LEVEL SECURITY;
CREATE POLICY role_holders_of_tenant ON role_holders
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
