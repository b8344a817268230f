//! Applications' tables: counted, re-sealed and migrated where they lie.
//!
//! Their names are known at run time only, so this is the one crate that puts statements together
//! (`docs/adr/0012-statements-over-foreign-tables.md`). It does so from text that was in the program and from [`Name`]s, which take
//! letters, digits and `_` and nothing else; values are always bound.
#![forbid(unsafe_code)]

mod column;
mod database;
mod migration;
mod name;
mod statement;
mod table;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;

pub use column::{Column, Kind, Shape};
pub use database::{Database, DatabaseError, Patience};
pub use migration::{Batch, Counts, Migration, Pair, Plain, Progress, Restore, Seal};
pub use name::{BadName, Name, TableName};
pub use table::SealedTable;
pub use tables::{Tables, UrlFiles};
