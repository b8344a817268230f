-- Who is kept out for now (ADR 0035): users whose logins pause, API keys and sessions that their limits refused again and again.
-- PostgreSQL's migration of this name has the same table.

CREATE TABLE lockouts (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- The id of the user, the API key or the session.
    subject TEXT NOT NULL,
    user_id TEXT,
    -- The limit that refused; none where logins failed.
    policy TEXT,
    -- What an undo clears: `KIND:HEX`, separated by spaces. MACs, no addresses.
    ladders TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX lockouts_subject_key ON lockouts (tenant_id, kind, subject);
CREATE INDEX lockouts_expiry ON lockouts (tenant_id, expires_at);

-- A node remembers callers for a moment: it forgets them when a credential is kept out or let in (ADR 0009). Not for users that pause:
-- strangers make those.
CREATE TRIGGER lockouts_epoch_insert AFTER INSERT ON lockouts WHEN NEW.kind <> 'account' BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER lockouts_epoch_update AFTER UPDATE ON lockouts WHEN NEW.kind <> 'account' BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (NEW.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
CREATE TRIGGER lockouts_epoch_delete AFTER DELETE ON lockouts WHEN OLD.kind <> 'account' BEGIN
    INSERT INTO directory_epochs (tenant_id, epoch, changed)
    VALUES (OLD.tenant_id, 1, (SELECT COALESCE(MAX(changed), 0) + 1 FROM directory_epochs))
    ON CONFLICT (tenant_id) DO UPDATE SET epoch = epoch + 1, changed = excluded.changed;
END;
