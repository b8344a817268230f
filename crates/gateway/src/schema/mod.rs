//! What an application's own OpenAPI document says of its requests, held to before they go on (IV-06).
//!
//! Body, path and query are looked at; nothing of them is changed. A refusal names the place and the rule, never the value. A
//! document speaks for the operations that it has: others are passed over, and [`inventory`] names them.

mod demand;
mod document;
mod faults;
pub mod inventory;
mod operation;
mod parameter;
mod recursion;
mod spelling;

pub use demand::Schemas;
pub use document::{Contract, NoContract, Rules, Trimmed};
pub use operation::Operation;
