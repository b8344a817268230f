//! A file per command.

pub mod api_key;
pub mod approval;
pub mod audit;
pub mod backup;
pub mod client;
pub mod demo;
pub mod doctor;
pub mod fields;
pub mod gateway;
pub mod identity_provider;
pub mod import;
pub mod init;
pub mod key;
pub mod lockout;
pub(crate) mod log_guard;
pub mod migrate_column;
pub mod openapi;
pub mod pack;
pub mod passwords;
pub mod recover;
pub mod restore;
pub mod role;
pub mod root;
pub mod sealing;
pub mod serve;
pub mod tenant;
pub mod user;
pub mod verify;
pub mod webhook;
pub mod witness;

use crate::config::{Config, Finding, Flags};

/// The environment's variables that are text.
pub(crate) fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the configuration of this process.
pub(crate) fn load(flags: &Flags) -> anyhow::Result<(Config, Vec<Finding>)> {
    Ok(Config::load(flags, &variables())?)
}

/// Prints a line. Whoever reads may go away (`chancery doctor | head`); that is no failure of ours.
pub(crate) fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Text of somebody else for a terminal: what moves its cursor or turns its letters around is spelled out.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, ' '..='~') { out.push(letter) } else { out.extend(letter.escape_debug()) }
    }
    out
}

/// Puts warnings into the log.
pub(crate) fn tell(warnings: &[Finding]) {
    for Finding { subject, problem, cure } in warnings {
        tracing::warn!(subject, problem, cure, "Configuration: {subject} {problem}; {cure}");
    }
}
