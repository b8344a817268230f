//! Keys, their versions, tenant keys and root recipients.

mod columns;
mod read;
mod write;

pub(crate) use columns::{read_key, read_recipient, read_version, select_recipients, version_columns};
