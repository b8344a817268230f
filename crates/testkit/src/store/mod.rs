//! The contract of the store's ports, case by case.
//!
//! `$open` of [`store_conformance!`](crate::store_conformance) is an `async fn() -> Option<T>` of the test's module, where `T` derefs to
//! a store that no other test uses; `None` skips.

use chancery_domain::TenantId;
use chancery_domain::store::{Directory, Store, StoreError, Tx, View};

pub mod api_keys;
pub mod approvals;
pub mod archives;
pub mod audit;
pub mod backups;
pub mod bearers;
pub mod blocks;
pub mod census;
pub mod certificates;
pub mod csp_reports;
pub mod datasets;
pub mod epochs;
pub mod factors;
pub mod fields;
pub mod guard;
pub mod idempotency;
pub mod identity_providers;
pub mod indexes;
pub mod intents;
pub mod jobs;
pub mod key_copies;
pub mod keys;
pub mod lockouts;
pub mod one_time;
pub mod passkeys;
pub mod proofs;
pub mod retention;
pub mod revocations;
pub mod roles;
pub mod roots;
pub mod sessions;
pub mod sinks;
pub mod subjects;
pub mod tenant_keys;
pub mod tenants;
pub mod tombstones;
pub mod transactions;
pub mod users;
pub mod webhooks;

/// What the cases need of a store.
pub trait Backend: Store + Directory + Clone + 'static {}
impl<S: Store + Directory + Clone + 'static> Backend for S {}

/// A named test per case, in a module per noun.
#[macro_export]
macro_rules! store_conformance {
    ($open:ident) => {
        $crate::store_conformance! { @cases $open;
            tenants: [
                a_record_reads_back, records_come_in_pages, a_record_is_found_by_its_terms, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it,
                only_the_platform_keeps_records, a_slug_is_taken_once, an_id_is_taken_once, a_state_moves_by_compare_and_swap,
                the_directory_follows, the_directory_comes_in_pages, clear_fields_are_counted_for_the_own_tenant,
                registration_is_the_own_tenants, a_record_is_updated,
            ],
            users: [
                a_user_reads_back, a_user_is_found_by_name, users_are_found_by_terms, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, a_name_is_taken_once_in_a_tenant, active_holders_of_a_role_are_counted,
                a_password_hash_is_replaced, users_come_in_pages, a_user_is_updated_with_its_terms,
                a_change_of_rights_raises_the_epoch,
            ],
            sessions: [
                a_session_reads_back, another_tenant_does_not_see_it, another_tenant_does_not_change_it,
                a_head_moves_by_compare_and_swap, it_ends_once_and_goes_on_no_more, all_of_a_user_end_at_once,
                all_of_a_tenant_end_at_once, what_is_long_over_is_forgotten, tries_are_counted_until_a_proof,
            ],
            one_time: [
                a_token_reads_back, tries_are_counted_up_to_their_end, it_is_taken_once, all_of_a_user_end_at_once,
                what_expired_is_forgotten, another_tenant_does_not_see_it, another_tenant_does_not_change_it,
            ],
            proofs: [
                a_proof_is_used_once, what_was_not_committed_was_not_used, another_tenant_has_its_own,
            ],
            factors: [
                one_time_codes_read_back, a_confirmed_secret_is_not_replaced, failures_are_counted_one_by_one,
                a_step_is_used_once, recovery_codes_read_back, a_recovery_code_is_used_once, all_of_a_user_are_removed,
                another_tenant_does_not_see_it, another_tenant_does_not_change_it, they_belong_to_a_user_who_is_there,
            ],
            passkeys: [
                a_passkey_reads_back, a_credential_is_one_users, a_use_counts_on_from_what_was_read, one_is_renamed_and_removed,
                all_of_a_user_are_removed, a_challenge_is_used_once, what_expired_is_forgotten, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, they_belong_to_a_user_who_is_there,
            ],
            revocations: [
                what_stands_against_a_token_is_found, another_tenant_does_not_see_it, a_later_moment_reaches_further,
                what_expired_is_forgotten, what_stands_is_listed, a_foreign_token_is_found,
            ],
            blocks: [
                blocks_are_listed_until_they_expire, a_network_is_blocked_once, one_is_taken_away, another_tenant_does_not_see_it,
            ],
            lockouts: [
                lockouts_are_listed_until_they_expire, a_subject_is_kept_out_once, one_is_taken_away,
                what_stops_a_credential_raises_the_epoch, another_tenant_does_not_see_it,
                an_address_is_known_until_its_end, of_each_user_the_last_addresses_stay, addresses_go_with_their_user,
            ],
            bearers: [
                everything_that_may_stop_a_token_is_seen, a_programs_key_is_seen, what_is_not_there_is_not_seen,
                what_changes_is_seen_by_the_next_question, what_is_kept_out_is_seen, another_tenant_does_not_see_it, a_view_sees_its_own_moment,
            ],
            api_keys: [
                a_key_reads_back, keys_come_in_pages, another_tenant_does_not_see_it, another_tenant_does_not_change_it,
                it_is_revoked_once, the_directory_knows_it_and_its_revocation, usable_holders_of_a_role_are_counted,
                an_id_is_taken_once_in_all_tenants, a_key_of_an_unknown_user_is_refused, a_digest_follows_the_pepper,
                a_key_is_updated, last_uses_only_grow, keys_of_other_systems_are_found_by_their_prefix, a_key_shows_its_defined_roles,
                changes_of_a_key_raise_the_epoch, changes_of_one_key_wait_for_each_other,
                old_keys_of_a_tenant_are_found_revoked_or_not,
            ],
            roles: [
                a_role_reads_back, a_role_is_replaced, holders_come_and_go, a_held_role_stays, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, changes_raise_the_epoch,
            ],
            identity_providers: [
                a_provider_reads_back, a_provider_is_replaced, the_directory_follows, an_issuer_and_audience_are_taken_once,
                an_audience_is_found_in_its_own_claim, suspended_tenants_are_passed_over, an_issuer_is_held,
                another_tenant_neither_sees_nor_changes_it, changes_raise_the_epoch,
            ],
            keys: [
                recipients_read_back, a_recipient_is_proven, only_the_platform_keeps_recipients, tenant_keys_read_back,
                a_key_reads_back, keys_come_in_pages, versions_read_back, managed_keys_are_found, a_living_key_is_found_by_its_name, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, one_managed_key_per_use, one_active_version_per_key,
                a_version_moves_by_compare_and_swap, the_active_version_is_held_and_all_are_seized, rotations_and_uses_do_not_overlap,
                changes_of_one_key_wait_for_each_other, a_key_is_updated, due_keys_are_found, expired_versions_are_found, versions_to_destroy_are_found,
                uses_are_counted,
            ],
            jobs: [
                one_node_has_a_job, a_claim_is_renewed, a_claim_is_renewed_as_it_was_left, a_free_job_is_nobodys, a_job_is_given_back, claims_at_once_give_one_leader,
                only_the_platform_has_jobs, nodes_that_are_gone_are_forgotten,
            ],
            roots: [
                versions_read_back, one_version_is_active, states_move_by_compare_and_swap, every_tenant_holds_the_active_version,
                secrets_are_replaced, only_the_platform_keeps_them, a_recipient_fails_and_goes,
            ],
            tenant_keys: [
                a_held_key_is_active, a_wrap_is_replaced_by_compare_and_swap, an_old_key_is_destroyed, versions_under_older_keys_are_found,
                a_key_without_its_check_is_found_and_gets_it_once,
                another_tenant_does_not_change_it,
            ],
            fields: [
                fields_read_back, a_field_is_replaced, another_tenant_does_not_see_it, another_tenant_does_not_change_it,
                a_column_is_taken_once,
            ],
            indexes: [
                indexes_read_back, a_field_has_its_own_and_no_others, a_version_moves_and_another_is_added,
                another_tenant_does_not_see_it, another_tenant_does_not_change_it, a_name_is_taken_once_in_a_table,
            ],
            subjects: [
                a_key_reads_back, keys_come_in_pages, keys_are_found, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, a_person_has_one_active_key, a_key_is_destroyed_once,
                a_wrap_is_replaced_by_compare_and_swap, only_the_end_of_a_key_raises_the_epoch,
                keys_under_a_version_come_in_pages, what_is_under_a_version_is_counted,
                keys_of_references_are_carried_over_and_move_by_compare_and_swap,
                another_tenant_neither_sees_nor_moves_keys_of_references,
            ],
            datasets: [
                a_dataset_reads_back, a_dataset_is_replaced, a_name_is_taken_once, a_removed_dataset_takes_its_jobs_and_counts,
                a_job_reads_back, a_job_has_one_node, a_lost_job_is_not_saved, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it,
            ],
            census: [counts_read_back, a_count_is_replaced, own_values_are_counted, own_values_are_swapped, another_tenant_does_not_see_it],
            certificates: [
                a_certificate_reads_back, another_tenant_does_not_see_it, an_id_is_taken_once, an_end_is_noted_once,
                certificates_are_found_by_whom_they_speak_of, certificates_come_in_pages,
                a_lockdown_begins_and_ends,
            ],
            audit: [
                a_log_starts_empty, a_log_starts_once, an_id_is_in_the_log_once_whatever_its_month_and_kind, foreign_events_on_a_resource_do_not_come, events_keep_their_order_in_the_queue, logged_events_leave_the_queue,
                logged_events_are_found, an_event_is_logged_once, two_sequencers_do_not_fork_the_log, a_head_moves_by_compare_and_swap,
                tiles_only_widen, hashes_behind_the_end_of_a_tile_go, the_newest_checkpoint_is_given, another_tenant_does_not_see_it, another_tenant_does_not_change_it,
                an_event_of_another_tenant_is_refused, an_event_is_queued_once, what_is_logged_already_leaves_the_queue, appended_events_reach_their_tenants,
                a_failed_append_queues_nothing, many_events_fit_one_append, appending_nothing_is_fine, appends_at_once_all_land,
                grown_queues_are_told_once, events_are_found_by_what_they_name, events_are_found_by_kinds_and_how_they_begin,
                clocks_that_are_far_off_do_not_stop_the_log,
            ],
            intents: [
                an_intent_is_open_until_its_outcome, intents_and_outcomes_come_together, an_outcome_is_written_once, an_intent_is_closed_once,
                those_that_lost_their_process_are_found, outcomes_are_found_by_their_request_and_time, another_tenant_neither_sees_nor_closes_it, a_failed_append_opens_and_closes_nothing,
            ],
            retention: [
                what_was_said_is_replaced, a_hold_reads_back_and_is_taken_away, a_purge_reads_back_and_ends_once,
                places_are_found_by_when_they_were_recorded, a_purge_takes_bodies_and_leaves_what_is_kept,
                an_event_goes_only_within_an_open_purge, no_purge_takes_what_is_kept, no_purge_takes_what_is_held, rules_that_are_filed_under_nothing_are_found, a_purge_goes_on_from_where_it_stands,
                another_tenant_does_not_see_it, another_tenant_does_not_change_it,
            ],
            archives: [an_archive_reads_back, an_archive_is_noted_once, another_tenant_does_not_see_it],
            sinks: [
                a_cursor_reads_back, a_cursor_moves_by_compare_and_swap, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it,
            ],
            guard: [
                entries_are_given_as_they_are_stored, no_more_of_a_row_is_read_than_a_leaf_has, a_row_of_the_queue_is_put_aside, a_row_behind_the_end_of_a_log_is_put_aside, heads_are_given_as_they_are_stored_in_order, a_scrub_is_replaced,
                events_with_a_personal_part_are_told,
                the_last_head_told_of_is_found, a_witness_signs_a_size_again, the_newest_cosignatures_are_given,
                another_tenant_does_not_see_it,
            ],
            epochs: [
                every_change_of_what_nodes_hold_raises_it, a_tenants_state_raises_the_tenants_own, it_rises_with_the_commit,
                an_append_tells_the_epochs_of_its_tenants, changes_since_a_mark_are_told,
                a_transaction_knows_whether_it_stops_keys, changes_at_once_all_land,
            ],
            idempotency: [
                an_entry_reads_back, another_tenant_does_not_see_it, a_key_is_taken_once, old_entries_are_forgotten,
            ],
            approvals: [
                an_approval_reads_back, approvals_come_in_pages_and_by_state, a_change_is_a_compare_and_swap,
                unreviewed_ones_are_found, used_ones_are_found_by_kind_and_resource, another_tenant_does_not_see_it,
                another_tenant_does_not_change_it, an_id_is_taken_once,
            ],
            tombstones: [a_tombstone_reads_back, another_tenant_does_not_see_it, a_key_has_one, destroyed_keys_are_counted],
            csp_reports: [
                the_same_report_is_counted, different_reports_are_bounded, old_reports_are_forgotten,
                another_tenant_neither_sees_nor_changes_it,
            ],
            key_copies: [copies_read_back, only_the_copy_that_was_seen_is_forgotten, another_tenant_does_not_see_it],
            backups: [the_newest_backup_is_given, only_the_platform_keeps_backups],
            webhooks: [
                a_source_reads_back_and_is_replaced, a_source_goes_with_its_secrets, a_subscription_reads_back_moves_and_goes, a_secret_reads_back_ends_and_counts,
                secrets_that_are_due_are_found, a_message_is_seen_once, of_copies_at_once_one_is_first,
                deliveries_read_back_and_are_found_when_due, a_delivery_moves_by_compare_and_swap,
                another_tenant_neither_sees_nor_changes_them, their_sealed_values_are_counted_and_swapped,
                devices_read_back_count_on_and_end, what_says_no_moment_is_bounded, what_was_taken_since_is_known,
                a_stall_is_noted_once, what_waits_is_counted, parts_read_back_in_order_and_go_with_the_message,
            ],
            transactions: [
                a_dropped_transaction_leaves_nothing, a_committed_one_is_seen_at_once, an_uncommitted_one_is_not_seen,
                a_transaction_sees_its_own_changes, a_view_stays_as_it_was, a_failed_statement_spoils_the_commit,
                writers_at_once_all_land, a_dropped_wait_for_a_turn_leaves_the_store_free, a_cancelled_statement_leaves_nothing,
                it_answers_a_ping,
            ],
        }
    };
    (@cases $open:ident; $($noun:ident: [$($case:ident),+ $(,)?],)+) => {
        $(mod $noun {
            $(#[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(opened) = super::$open().await else { return };
                $crate::store::$noun::$case(&*opened).await;
            })+
        })+
    };
}

/// Opens a transaction.
pub(crate) async fn begin(store: &impl Store, tenant: TenantId) -> Box<dyn Tx> {
    store.begin(tenant).await.unwrap()
}

/// Opens a view.
pub(crate) async fn view(store: &impl Store, tenant: TenantId) -> Box<dyn View> {
    store.view(tenant).await.unwrap()
}

/// Does something in a transaction of its own and commits it.
macro_rules! commit {
    ($store:expr, $tenant:expr, $(.$call:ident($($arg:expr),*))+) => {{
        let mut tx = $crate::store::begin($store, $tenant).await;
        $(tx.$call($($arg),*).await.unwrap();)+
        tx.commit().await.unwrap();
    }};
}
pub(crate) use commit;

pub(crate) fn taken<T>(result: Result<T, StoreError>, what: &str) -> bool {
    matches!(result, Err(StoreError::Taken(name)) if name == what)
}

pub(crate) fn changed<T>(result: Result<T, StoreError>, what: &str) -> bool {
    matches!(result, Err(StoreError::Changed(name)) if name == what)
}

pub(crate) fn unavailable<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

#[cfg(test)]
mod tests {
    /// A case that nobody runs proves nothing.
    #[test]
    fn every_case_is_in_the_macro() {
        let list = include_str!("mod.rs");
        let files = [
            ("tenants", include_str!("tenants.rs")),
            ("users", include_str!("users.rs")),
            ("proofs", include_str!("proofs.rs")),
            ("sessions", include_str!("sessions.rs")),
            ("revocations", include_str!("revocations.rs")),
            ("api_keys", include_str!("api_keys.rs")),
            ("blocks", include_str!("blocks.rs")),
            ("lockouts", include_str!("lockouts.rs")),
            ("identity_providers", include_str!("identity_providers.rs")),
            ("keys", include_str!("keys.rs")),
            ("fields", include_str!("fields.rs")),
            ("indexes", include_str!("indexes.rs")),
            ("subjects", include_str!("subjects.rs")),
            ("datasets", include_str!("datasets.rs")),
            ("census", include_str!("census.rs")),
            ("certificates", include_str!("certificates.rs")),
            ("audit", include_str!("audit.rs")),
            ("intents", include_str!("intents.rs")),
            ("retention", include_str!("retention.rs")),
            ("archives", include_str!("archives.rs")),
            ("sinks", include_str!("sinks.rs")),
            ("guard", include_str!("guard.rs")),
            ("epochs", include_str!("epochs.rs")),
            ("approvals", include_str!("approvals.rs")),
            ("tombstones", include_str!("tombstones.rs")),
            ("csp_reports", include_str!("csp_reports.rs")),
            ("key_copies", include_str!("key_copies.rs")),
            ("backups", include_str!("backups.rs")),
            ("idempotency", include_str!("idempotency.rs")),
            ("jobs", include_str!("jobs.rs")),
            ("webhooks", include_str!("webhooks.rs")),
            ("transactions", include_str!("transactions.rs")),
        ];
        for (noun, text) in files {
            let (_, rest) = list.split_once(&format!("\n            {noun}: [")).unwrap();
            let (listed, _) = rest.split_once(']').unwrap();
            let listed: Vec<&str> = listed.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            let written: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('('))
                .map(|(name, _)| name)
                .collect();
            for case in &written {
                assert!(listed.contains(case), "{noun}::{case} is not in the macro");
            }
            assert_eq!(listed.len(), written.len(), "{noun}");
        }
    }
}
