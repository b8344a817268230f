-- What people do once: the second step of a login, an invitation, a new password. Their second factors. And their rights,
-- followed by every node.

CREATE TABLE one_time_tokens (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX one_time_tokens_user ON one_time_tokens (tenant_id, user_id);
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (tenant_id, expires_at);

-- A node remembers callers for a moment: it forgets them when a user's state or roles change (ADR 0009).
CREATE TRIGGER users_epoch_update AFTER UPDATE OF roles, state ON users
WHEN OLD.roles <> NEW.roles OR OLD.state <> NEW.state BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;

-- The secret is sealed for its user; the last step is there so that no code works twice.
CREATE TABLE totp_factors (
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret BLOB NOT NULL,
    last_step INTEGER,
    failures INTEGER NOT NULL,
    failed_at INTEGER,
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Keyed digests; a code works once.
CREATE TABLE recovery_codes (
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    pepper_version INTEGER NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (tenant_id, user_id, position),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
