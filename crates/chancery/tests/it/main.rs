//! The commands as an operator types them: processes, exit codes, files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test that calls them"
)]

#[cfg(feature = "acme")]
mod acme;
mod api_keys;
mod approvals;
mod audit;
mod backup;
mod demo;
mod disk;
mod doctor;
mod dump;
mod fence;
mod fields;
mod gateway;
mod guard;
mod init;
mod intents;
mod issuers;
mod keys;
mod leaks;
mod migrate_column;
mod nodes;
mod passwords;
mod past;
mod production;
#[cfg(feature = "kms-full")]
mod providers;
mod purge;
mod recover;
mod redis;
mod roots;
mod scrub;
mod sealing;
mod serve;
mod sinks;
#[cfg(feature = "kms-vault")]
mod store_password;
mod support;
mod tenants;
mod tls;
mod users;
mod verify;
mod webhooks;
