-- Who is kept out for now (ADR 0035): users whose logins pause, API keys and sessions that their limits refused again and again.

CREATE TABLE lockouts (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    -- The id of the user, the API key or the session.
    subject TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    -- The limit that refused; none where logins failed.
    policy TEXT COLLATE "C",
    -- What an undo clears: `KIND:HEX`, separated by spaces. MACs, no addresses.
    ladders TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX lockouts_subject_key ON lockouts (tenant_id, kind, subject);
CREATE INDEX lockouts_expiry ON lockouts (tenant_id, expires_at);

ALTER TABLE lockouts ENABLE ROW LEVEL SECURITY;
ALTER TABLE lockouts FORCE ROW LEVEL SECURITY;
CREATE POLICY lockouts_of_tenant ON lockouts
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

-- A node remembers callers for a moment: it forgets them when a credential is kept out or let in (ADR 0009). Not for users that pause:
-- strangers make those.
CREATE CONSTRAINT TRIGGER lockouts_epoch_set AFTER INSERT OR UPDATE ON lockouts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.kind <> 'account')
    EXECUTE FUNCTION chancery_new_epoch();
CREATE CONSTRAINT TRIGGER lockouts_epoch_removed AFTER DELETE ON lockouts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.kind <> 'account')
    EXECUTE FUNCTION chancery_new_epoch();
