-- Named keys: policies, schedules, expiry, where a version lives, backups, deletion; and who runs the jobs.

ALTER TABLE keys ADD COLUMN allowed_users TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN origin TEXT COLLATE "C" NOT NULL DEFAULT 'generated';
ALTER TABLE keys ADD COLUMN provider TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN expires_in_days BIGINT;
ALTER TABLE keys ADD COLUMN auto_rotate BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE keys ADD COLUMN rotation_interval_days BIGINT;
ALTER TABLE keys ADD COLUMN last_rotated_at BIGINT;
ALTER TABLE keys ADD COLUMN reminded_at BIGINT;
-- The link to a key in an HSM (KM-13). Linked is who has both.
ALTER TABLE keys ADD COLUMN hsm_provider TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN hsm_key_id TEXT COLLATE "C";
-- The last backup: `claimed` by an import, or `verified` by reading it back.
ALTER TABLE keys ADD COLUMN backup TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN backup_version BIGINT;
ALTER TABLE keys ADD COLUMN backup_location TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN backup_at BIGINT;
ALTER TABLE keys ADD COLUMN backup_by TEXT COLLATE "C";

-- A resident version has no wrapped bytes.
ALTER TABLE key_versions ADD COLUMN provider TEXT COLLATE "C";
ALTER TABLE key_versions ADD COLUMN resident_id TEXT COLLATE "C";
ALTER TABLE key_versions ADD COLUMN expires_at BIGINT;
ALTER TABLE key_versions ADD COLUMN resumes_to TEXT COLLATE "C";
ALTER TABLE key_versions ADD COLUMN cancels_to TEXT COLLATE "C";
ALTER TABLE key_versions ADD COLUMN deletion_due_at BIGINT;
ALTER TABLE key_versions ADD COLUMN revoked_reason TEXT COLLATE "C";
ALTER TABLE key_versions ADD COLUMN last_valid_index BIGINT;
ALTER TABLE key_versions ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE key_versions ADD COLUMN last_used_at BIGINT;
CREATE INDEX key_versions_expires_at ON key_versions (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX key_versions_deletion_due_at ON key_versions (tenant_id, deletion_due_at) WHERE deletion_due_at IS NOT NULL;

-- Of all nodes, the one that runs a job, until when.
CREATE TABLE jobs (
    tenant_id TEXT COLLATE "C" NOT NULL CHECK (tenant_id = 'ten_platform'),
    name TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY jobs_of_tenant ON jobs
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
