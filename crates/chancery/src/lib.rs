//! The binary: one server, its commands, its configuration. Knows everyone, decides nothing.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`cli`] | what can be typed |
//! | [`config`] | one file, the environment, flags; every fault at once |
//! | [`commands`] | a file per command |
//! | [`wiring`], [`shared`] | from a configuration to the domain's ports; those that nodes share over Redis |
//! | [`backup`] | the files of a backup |
//! | [`server`], [`tls`], `acme` | listeners, draining; TLS, and an authority that gives its certificates |
//! | [`at_the_gate`] | the gateway's listener |
//! | `following`, `route_table`, [`route_schemas`], `route_modes` | the gateway's routes while their file changes |
//! | [`jobs`], [`dataset_jobs`], [`subject_jobs`], [`destroyed_list`] | what goes on in the background |
//! | [`sinks`] | where events of the audit log go besides the log |
//! | [`guard_jobs`], [`pins`], [`witness`] | how the audit log is guarded |
//! | [`retention_jobs`], [`month_jobs`], [`archives`] | how the audit log is kept, archived, and what of it goes |
//! | [`node`] | of all processes one at a time is this node |
//! | [`guarded`] | the HTTP client for whatever is asked outside |
//! | [`webhook_jobs`] | hands webhooks on |
//! | [`issuer_documents`] | asks identity providers for their keys |
//! | [`url_files`] | where applications' databases are |
//! | [`service`] | what systemd is told |
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
pub mod node;
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
