//! The binary: one server, its commands, its configuration. Knows everyone, decides nothing.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`cli`] | what can be typed |
//! | [`config`] | one file, the environment, flags; every fault at once |
//! | [`commands`] | a file per command |
//! | [`wiring`] | from a configuration to the domain's ports |
//! | [`backup`] | the files of a backup |
//! | [`server`], [`tls`] | listeners, draining; TLS |
//! | [`at_the_gate`] | the gateway's listener, and its routes while their file changes |
//! | [`jobs`], [`dataset_jobs`], [`destroyed_list`] | what goes on in the background |
//! | [`sinks`] | where events of the audit log go besides the log |
//! | [`guard_jobs`], [`pins`], [`witness`] | how the audit log is guarded |
//! | [`retention_jobs`], [`month_jobs`], [`archives`] | how the audit log is kept, archived, and what of it goes |
//! | [`guarded`] | the HTTP client for addresses that tenants choose |
//! | [`webhook_jobs`] | hands webhooks on |
//! | [`issuer_documents`] | asks identity providers for their keys |
//! | [`url_files`] | where applications' databases are |
//! | [`telemetry`], [`clock`] | log lines, the time |
//! | [`no_dumps`] | no core files |
#![forbid(unsafe_code)]

#[cfg(feature = "acme")]
pub mod acme;
pub mod archives;
pub mod at_the_gate;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod dataset_jobs;
pub mod destroyed_list;
mod following;
pub mod guard_jobs;
pub mod guarded;
pub mod issuer_documents;
pub mod jobs;
pub mod month_jobs;
pub mod no_dumps;
pub mod pins;
pub mod retention_jobs;
mod route_modes;
pub mod route_schemas;
mod route_table;
pub mod server;
pub mod service;
pub mod shared;
pub mod sinks;
pub mod subject_jobs;
pub mod telemetry;
pub mod tls;
pub mod url_files;
pub mod webhook_jobs;
pub mod wiring;
pub mod witness;

pub use cli::main;
