-- API keys: when one was used last, what replaced it, keys of other systems by the beginning of their SHA-256; roles that tenants
-- define. What a node remembers of a caller is outdated by each change of them: they raise the epoch (ADR 0009, ADR 0017).

ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT;

-- A part of the directory. The prefix is 32 bits: it finds a key and tells nothing of it.
CREATE TABLE directory_old_api_keys (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX directory_old_api_keys_prefix ON directory_old_api_keys (prefix);

CREATE TABLE roles (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    base TEXT NOT NULL,
    permissions TEXT NOT NULL,
    description TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE role_holders (
    tenant_id TEXT NOT NULL,
    role TEXT NOT NULL,
    holder TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, role, holder),
    FOREIGN KEY (tenant_id, role) REFERENCES roles (tenant_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX role_holders_holder ON role_holders (tenant_id, holder);

-- Not when one is made, is used or follows the pepper: nobody remembers anything of it by then, or nothing else.
CREATE TRIGGER api_keys_epoch_update AFTER UPDATE OF roles, allowed_cidrs, expires_at, revoked_at ON api_keys BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER roles_epoch_update AFTER UPDATE ON roles BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER roles_epoch_delete AFTER DELETE ON roles BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER role_holders_epoch_insert AFTER INSERT ON role_holders BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER role_holders_epoch_delete AFTER DELETE ON role_holders BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
