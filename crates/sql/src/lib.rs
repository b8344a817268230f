//! The rows of the store, written once for both engines.
//!
//! Each noun has one file with its statements. They run over a [`Driver`], which the adapters
//! `chancery-sqlite` and `chancery-postgres` implement; connections, transactions, migrations and
//! the wording of errors are theirs. See `docs/adr/0002-one-sql-two-engines.md`.
//!
//! What holds for every statement of [`Rows`]: it is `'static` text, its values are bound, and its
//! first bound value is the tenant.
#![forbid(unsafe_code)]

mod api_keys;
mod approvals;
pub mod archive;
mod archives;
mod audit;
mod backups;
mod bearers;
mod blocks;
mod census;
mod certificates;
mod csp_reports;
mod datasets;
pub mod directory;
mod driver;
mod factors;
mod fields;
mod grown;
mod guard;
mod idempotency;
mod identity_providers;
mod indexes;
mod jobs;
mod key_copies;
mod keys;
mod lockouts;
mod months;
mod one_time;
mod passkeys;
mod proofs;
mod retention;
mod revocations;
mod roles;
mod roots;
mod rows;
mod sessions;
mod sinks;
mod statement;
mod subjects;
mod taken;
mod tenant_keys;
mod tenants;
mod tombstones;
mod users;
mod value;
mod webhooks;

pub use audit::{EVENTS_ON, OUTCOMES, queue_events};
pub use driver::{Driver, Transaction};
pub use grown::Grown;
pub use months::{month_part, month_table};
pub use rows::Rows;
pub use statement::{BATCHES, Batch, Sql};
pub use taken::{taken_by_columns, taken_by_constraint};
pub use value::{Row, Value};
pub use webhooks::{FORGET_DELIVERED, WAITING_DELIVERIES};
