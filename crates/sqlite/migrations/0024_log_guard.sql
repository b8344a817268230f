-- How logs are guarded: how far each was looked at again, whose heads the platform's log told of, what witnesses signed.

CREATE TABLE audit_scrubs (
    tenant_id TEXT NOT NULL,
    tile INTEGER NOT NULL,
    checkpoint_size INTEGER NOT NULL,
    checkpoint_at INTEGER NOT NULL,
    findings INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    -- The last whole cycle; null before the first.
    ended_at INTEGER,
    ended_findings INTEGER,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;

-- In the platform's rows only.
CREATE TABLE audit_noted_heads (
    tenant_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, origin)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_cosignatures (
    tenant_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    cosigned_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, size, witness)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_cosignatures_witness ON audit_cosignatures (tenant_id, witness, size);
