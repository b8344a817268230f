//! What is unique, and what it is called when somebody else has it already.
//!
//! PostgreSQL names the index, SQLite its columns.

use chancery_domain::store::StoreError;

/// Index, columns, name.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("tenants_pkey", "tenants.tenant_id, tenants.id", "tenant"),
    ("tenants_slug_key", "tenants.tenant_id, tenants.slug", "slug"),
    ("directory_tenants_pkey", "directory_tenants.tenant_id", "tenant"),
    ("directory_tenants_slug_key", "directory_tenants.slug", "slug"),
    ("directory_api_keys_pkey", "directory_api_keys.tenant_id, directory_api_keys.id", "api_key"),
    ("directory_api_keys_id_key", "directory_api_keys.id", "api_key"),
    (
        "directory_identity_providers_pkey",
        "directory_identity_providers.tenant_id, directory_identity_providers.id, directory_identity_providers.audience",
        "identity_provider",
    ),
    (
        "directory_identity_providers_door_key",
        "directory_identity_providers.issuer, directory_identity_providers.audience, directory_identity_providers.audience_claim, directory_identity_providers.tenant_claim, directory_identity_providers.tenant_value",
        "identity_provider",
    ),
    ("users_pkey", "users.tenant_id, users.id", "user"),
    ("users_username_key", "users.tenant_id, users.username", "username"),
    ("users_name_key", "users.tenant_id, users.name_key", "username"),
    ("api_keys_pkey", "api_keys.tenant_id, api_keys.id", "api_key"),
    ("ip_blocks_network_key", "ip_blocks.tenant_id, ip_blocks.network", "ip_block"),
    ("ip_blocks_pkey", "ip_blocks.tenant_id, ip_blocks.id", "ip_block"),
    ("lockouts_pkey", "lockouts.tenant_id, lockouts.id", "lockout"),
    ("lockouts_subject_key", "lockouts.tenant_id, lockouts.kind, lockouts.subject", "lockout"),
    ("passkeys_pkey", "passkeys.tenant_id, passkeys.id", "passkey"),
    ("passkeys_credential_key", "passkeys.tenant_id, passkeys.credential", "passkey"),
    ("webhook_devices_pkey", "webhook_devices.tenant_id, webhook_devices.id", "webhook_device"),
    (
        "webhook_devices_key_key",
        "webhook_devices.tenant_id, webhook_devices.source_id, webhook_devices.key_id",
        "webhook_device",
    ),
    ("root_recipients_pkey", "root_recipients.tenant_id, root_recipients.id", "root_recipient"),
    ("directory_roots_pkey", "directory_roots.tenant_id, directory_roots.version", "root"),
    ("directory_roots_active_key", "directory_roots.tenant_id", "root"),
    ("tenant_keys_pkey", "tenant_keys.tenant_id, tenant_keys.version", "tenant_key"),
    ("keys_pkey", "keys.tenant_id, keys.id", "key"),
    ("keys_managed_key", "keys.tenant_id, keys.managed", "managed"),
    ("key_versions_pkey", "key_versions.tenant_id, key_versions.key, key_versions.version", "key_version"),
    ("key_versions_key_id_key", "key_versions.tenant_id, key_versions.key_id", "key_id"),
    ("key_versions_handle_key", "key_versions.tenant_id, key_versions.handle", "handle"),
    ("key_versions_active_key", "key_versions.tenant_id, key_versions.key", "active"),
    ("fields_column_key", "fields.tenant_id, fields.table_name, fields.column_name", "field"),
    ("indexes_name_key", "indexes.tenant_id, indexes.table_id, indexes.name", "index"),
    ("subject_keys_pkey", "subject_keys.tenant_id, subject_keys.id", "subject_key"),
    ("subject_keys_handle_key", "subject_keys.tenant_id, subject_keys.handle", "handle"),
    ("subject_keys_active_key", "subject_keys.tenant_id, subject_keys.reference", "subject"),
    ("subject_references_pkey", "subject_references.tenant_id, subject_references.key_id", "subject_references"),
    ("certificates_pkey", "certificates.tenant_id, certificates.id", "certificate"),
    (
        "certificate_ends_pkey",
        "certificate_ends.tenant_id, certificate_ends.certificate_id, certificate_ends.state",
        "certificate_end",
    ),
    ("lockdowns_pkey", "lockdowns.tenant_id", "lockdown"),
    (
        "certificate_subjects_pkey",
        "certificate_subjects.tenant_id, certificate_subjects.reference, certificate_subjects.certificate_id",
        "certificate_subject",
    ),
    ("audit_logs_pkey", "audit_logs.tenant_id", "log"),
    ("audit_queue_event_key", "audit_queue.tenant_id, audit_queue.event_id", "event"),
    ("audit_intents_pkey", "audit_intents.tenant_id, audit_intents.event_id", "event"),
    // In PostgreSQL these have parts, see below.
    ("audit_events_pkey", "audit_events.tenant_id, audit_events.idx", "index"),
    ("audit_events_event_key", "audit_events.tenant_id, audit_events.event_id", "event"),
    ("audit_sealed_pkey", "audit_sealed.tenant_id, audit_sealed.event_id", "event"),
    (
        "audit_checkpoints_pkey",
        "audit_checkpoints.tenant_id, audit_checkpoints.size, audit_checkpoints.signed_at",
        "checkpoint",
    ),
    ("audit_holds_pkey", "audit_holds.tenant_id, audit_holds.name", "hold"),
    (
        "audit_archives_pkey",
        "audit_archives.tenant_id, audit_archives.place, audit_archives.first_idx, audit_archives.event_id",
        "archive",
    ),
    ("audit_purges_pkey", "audit_purges.tenant_id, audit_purges.first_idx", "purge"),
    ("jobs_pkey", "jobs.tenant_id, jobs.name", "job"),
    ("tombstones_pkey", "tombstones.tenant_id, tombstones.kind, tombstones.id", "tombstone"),
    ("backups_pkey", "backups.tenant_id, backups.id", "backup"),
    ("approvals_pkey", "approvals.tenant_id, approvals.id", "approval"),
    ("datasets_pkey", "datasets.tenant_id, datasets.id", "dataset"),
    ("datasets_name_key", "datasets.tenant_id, datasets.name", "dataset"),
    ("dataset_jobs_pkey", "dataset_jobs.tenant_id, dataset_jobs.id", "dataset_job"),
    ("idempotency_pkey", "idempotency.tenant_id, idempotency.key", "idempotency_key"),
];

/// Tables of which PostgreSQL keeps parts, each with indexes of its own: `audit_events_2026_11_pkey`. How their names begin and end.
const PARTS: &[(&str, &str, &str)] = &[
    ("audit_events_", "_event_key", "event"),
    ("audit_events_", "_pkey", "index"),
    ("audit_sealed_", "_pkey", "event"),
];

/// The error for a violated index, by its name.
pub fn taken_by_constraint(name: &str) -> StoreError {
    let part = PARTS.iter().find(|(begins, ends, _)| name.starts_with(begins) && name.ends_with(ends));
    match part {
        Some((_, _, name)) => StoreError::Taken(name),
        None => find(|(index, _, _)| *index == name),
    }
}

/// The error for a violated index, by its columns as `table.column, table.column`.
pub fn taken_by_columns(columns: &str) -> StoreError {
    find(|(_, unique, _)| *unique == columns)
}

fn find(matches: impl Fn(&(&str, &str, &str)) -> bool) -> StoreError {
    StoreError::Taken(UNIQUE.iter().find(|entry| matches(entry)).map_or("id", |(_, _, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_a_part_says_what_that_of_the_whole_says() {
        let taken = |name: &str| match taken_by_constraint(name) {
            StoreError::Taken(what) => what,
            other => panic!("{other}"),
        };
        assert_eq!(taken("audit_events_2026_11_pkey"), "index");
        assert_eq!(taken("audit_events_kept_event_key"), "event");
        assert_eq!(taken("audit_events_until_2026_12_pkey"), "index");
        assert_eq!(taken("audit_sealed_platform_pkey"), "event");
        assert_eq!(taken("audit_queue_event_key"), "event");
        assert_eq!(taken("users_name_key"), "username");
    }
}
