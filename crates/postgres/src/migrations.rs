//! The schema, step by step. SQLite has files of the same names.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr as _};

use crate::error::ConnectError;
use sqlx::migrate::MigrateError;

/// Numbers that are missing stand for nothing: they were taken while others wrote beside, and no release had them.
pub(crate) const FILES: &[(i64, &str, &str)] = &[
    (1, "spine", include_str!("../migrations/0001_spine.sql")),
    (2, "named_keys", include_str!("../migrations/0002_named_keys.sql")),
    (3, "approvals", include_str!("../migrations/0003_approvals.sql")),
    (4, "roots", include_str!("../migrations/0004_roots.sql")),
    (5, "epochs", include_str!("../migrations/0005_epochs.sql")),
    (6, "subjects", include_str!("../migrations/0006_subjects.sql")),
    (7, "indexes", include_str!("../migrations/0007_indexes.sql")),
    (8, "datasets", include_str!("../migrations/0008_datasets.sql")),
    (9, "custody", include_str!("../migrations/0009_custody.sql")),
    (10, "subject_rotation", include_str!("../migrations/0010_subject_rotation.sql")),
    (11, "dataset_registrar", include_str!("../migrations/0011_dataset_registrar.sql")),
    (12, "sessions", include_str!("../migrations/0012_sessions.sql")),
    (14, "key_copies", include_str!("../migrations/0014_key_copies.sql")),
    (15, "access", include_str!("../migrations/0015_access.sql")),
    (16, "people", include_str!("../migrations/0016_people.sql")),
    (17, "proofs", include_str!("../migrations/0017_proofs.sql")),
    (18, "identity_providers", include_str!("../migrations/0018_identity_providers.sql")),
    (19, "passkeys", include_str!("../migrations/0019_passkeys.sql")),
    (20, "registration", include_str!("../migrations/0020_registration.sql")),
    (21, "user_names", include_str!("../migrations/0021_user_names.sql")),
    (22, "audience_claims", include_str!("../migrations/0022_audience_claims.sql")),
    (23, "key_check", include_str!("../migrations/0023_key_check.sql")),
    (24, "log_guard", include_str!("../migrations/0024_log_guard.sql")),
    (25, "sinks", include_str!("../migrations/0025_sinks.sql")),
    (26, "certificates", include_str!("../migrations/0026_certificates.sql")),
    (27, "tenant_email_terms", include_str!("../migrations/0027_tenant_email_terms.sql")),
    (28, "retention", include_str!("../migrations/0028_retention.sql")),
    (30, "sink_proofs", include_str!("../migrations/0030_sink_proofs.sql")),
    (34, "monthly_partitions", include_str!("../migrations/0034_monthly_partitions.sql")),
    (35, "archives", include_str!("../migrations/0035_archives.sql")),
    (36, "ip_blocks", include_str!("../migrations/0036_ip_blocks.sql")),
    (40, "webhooks", include_str!("../migrations/0040_webhooks.sql")),
    (41, "webhook_subscriptions", include_str!("../migrations/0041_webhook_subscriptions.sql")),
    (42, "csp_reports", include_str!("../migrations/0042_csp_reports.sql")),
    (44, "lockouts", include_str!("../migrations/0044_lockouts.sql")),
    (45, "webhook_upkeep", include_str!("../migrations/0045_webhook_upkeep.sql")),
    (48, "purge_walls", include_str!("../migrations/0048_purge_walls.sql")),
    (49, "webhook_devices", include_str!("../migrations/0049_webhook_devices.sql")),
    (50, "quarantine", include_str!("../migrations/0050_quarantine.sql")),
    (52, "told_heads", include_str!("../migrations/0052_told_heads.sql")),
    (53, "audit_intents", include_str!("../migrations/0053_audit_intents.sql")),
    (55, "known_addresses", include_str!("../migrations/0055_known_addresses.sql")),
    (56, "young_events", include_str!("../migrations/0056_young_events.sql")),
    (57, "unfiled_rules", include_str!("../migrations/0057_unfiled_rules.sql")),
    (58, "kept_for_longer", include_str!("../migrations/0058_kept_for_longer.sql")),
];

/// Applies what is missing, each file in a transaction of its own; of several nodes one does it and the others wait.
pub(crate) async fn run(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let migrations = FILES.iter().map(|(version, name, text)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect()).run_direct(None, connection, false).await.map_err(|error| {
        match error {
            MigrateError::VersionMissing(version) => ConnectError::Newer(version),
            error => ConnectError::Migrate(error),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A merge once lost a line of the list, and a step was never taken.
    #[test]
    fn every_file_is_in_the_list() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = names.collect();
        files.sort();
        let listed: Vec<String> = FILES.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(files, listed);
    }
}
