-- What became of certificates, and of whom they speak by a keyed reference (ADR 0024).
CREATE TABLE certificate_ends (
    tenant_id TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    successor_id TEXT,
    ended_at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, certificate_id, state),
    FOREIGN KEY (tenant_id, certificate_id) REFERENCES certificates (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER certificate_ends_keep_update BEFORE UPDATE ON certificate_ends
BEGIN SELECT RAISE(ABORT, 'certificate_ends only grows'); END;
CREATE TRIGGER certificate_ends_keep_delete BEFORE DELETE ON certificate_ends
BEGIN SELECT RAISE(ABORT, 'certificate_ends only grows'); END;

CREATE TABLE certificate_subjects (
    tenant_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, reference, certificate_id),
    FOREIGN KEY (tenant_id, certificate_id) REFERENCES certificates (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- Tenants that refuse what looks like personal data.
CREATE TABLE lockdowns (
    tenant_id TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX certificates_kind ON certificates (tenant_id, kind, id);
