//! What every response says to browsers (HD-01…HD-14).
//!
//! [`HeaderProfile`] is a plain value: a preset, changed where it must be. [`HeaderProfile::ready`] makes [`ReadyHeaders`] of it,
//! which sets them on a response: on ours by the layer in [`crate::around`], on an upstream's by the gateway, with
//! [`HeaderMode::AddIfMissing`] or [`HeaderMode::Enforce`].

mod csp;
mod judge;
mod nonce;
mod profile;
mod ready;
mod removed;
mod rules;
mod structured;
mod suggest;

pub use csp::{Csp, Directive, NotACsp};
pub use judge::{CspFinding, DIRECTIVES, Severity, judge};
pub use nonce::CspNonce;
pub use profile::{Frame, HeaderProfile, Hsts, Isolation, Permission, Preset, Referrer, XssFilter};
pub use ready::{BadProfile, HeaderMode, ReadyHeaders};
pub use removed::remove_telling;
pub(crate) use rules::set;
pub use rules::{HeaderRules, with_headers};
pub use structured::{Dictionary, Item, Member, NotStructured};
pub use suggest::{Blocked, Suggestion, suggest};
