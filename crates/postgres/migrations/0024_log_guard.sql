-- How logs are guarded: how far each was looked at again, whose heads the platform's log told of, what witnesses signed.

CREATE TABLE audit_scrubs (
    tenant_id TEXT COLLATE "C" NOT NULL,
    tile BIGINT NOT NULL,
    checkpoint_size BIGINT NOT NULL,
    checkpoint_at BIGINT NOT NULL,
    findings BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    -- The last whole cycle; null before the first.
    ended_at BIGINT,
    ended_findings BIGINT,
    PRIMARY KEY (tenant_id)
);

-- In the platform's rows only.
CREATE TABLE audit_noted_heads (
    tenant_id TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, origin)
);

CREATE TABLE audit_cosignatures (
    tenant_id TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    witness TEXT COLLATE "C" NOT NULL,
    line TEXT COLLATE "C" NOT NULL,
    cosigned_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, size, witness)
);
CREATE INDEX audit_cosignatures_witness ON audit_cosignatures (tenant_id, witness, size);

ALTER TABLE audit_scrubs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_scrubs FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_scrubs_of_tenant ON audit_scrubs
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE audit_noted_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_noted_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_noted_heads_of_tenant ON audit_noted_heads
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));

ALTER TABLE audit_cosignatures ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_cosignatures FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_cosignatures_of_tenant ON audit_cosignatures
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
