-- Named keys: policies, schedules, expiry, where a version lives, backups, deletion; and who runs the jobs.

ALTER TABLE keys ADD COLUMN allowed_users TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN origin TEXT NOT NULL DEFAULT 'generated';
ALTER TABLE keys ADD COLUMN provider TEXT;
ALTER TABLE keys ADD COLUMN expires_in_days INTEGER;
ALTER TABLE keys ADD COLUMN auto_rotate INTEGER NOT NULL DEFAULT 0 CHECK (auto_rotate IN (0, 1));
ALTER TABLE keys ADD COLUMN rotation_interval_days INTEGER;
ALTER TABLE keys ADD COLUMN last_rotated_at INTEGER;
ALTER TABLE keys ADD COLUMN reminded_at INTEGER;
-- The link to a key in an HSM (KM-13). Linked is who has both.
ALTER TABLE keys ADD COLUMN hsm_provider TEXT;
ALTER TABLE keys ADD COLUMN hsm_key_id TEXT;
-- The last backup: `claimed` by an import, or `verified` by reading it back.
ALTER TABLE keys ADD COLUMN backup TEXT;
ALTER TABLE keys ADD COLUMN backup_version INTEGER;
ALTER TABLE keys ADD COLUMN backup_location TEXT;
ALTER TABLE keys ADD COLUMN backup_at INTEGER;
ALTER TABLE keys ADD COLUMN backup_by TEXT;

-- A resident version has no wrapped bytes.
ALTER TABLE key_versions ADD COLUMN provider TEXT;
ALTER TABLE key_versions ADD COLUMN resident_id TEXT;
ALTER TABLE key_versions ADD COLUMN expires_at INTEGER;
ALTER TABLE key_versions ADD COLUMN resumes_to TEXT;
ALTER TABLE key_versions ADD COLUMN cancels_to TEXT;
ALTER TABLE key_versions ADD COLUMN deletion_due_at INTEGER;
ALTER TABLE key_versions ADD COLUMN revoked_reason TEXT;
ALTER TABLE key_versions ADD COLUMN last_valid_index INTEGER;
ALTER TABLE key_versions ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key_versions ADD COLUMN last_used_at INTEGER;
CREATE INDEX key_versions_expires_at ON key_versions (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX key_versions_deletion_due_at ON key_versions (tenant_id, deletion_due_at) WHERE deletion_due_at IS NOT NULL;

-- Of all nodes, the one that runs a job, until when.
CREATE TABLE jobs (
    tenant_id TEXT NOT NULL CHECK (tenant_id = 'ten_platform'),
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;
