//! `chancery webhook devices …`: phones whose messages a source takes.

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::{delete, of};
use crate::commands::client::{Api, Output, list};

/// What is done with them.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List those of a source with how far they counted and when they sent last, revoked ones too
    List {
        /// Of which source
        id: String,
    },
    /// Take no message of one any more, at once and for good
    Revoke {
        /// Of which source
        id: String,
        /// Which, wdv_…
        device: String,
    },
}

pub(super) async fn run(api: &Api, output: Output, verb: Verb) -> Result<()> {
    match verb {
        Verb::List { id } => {
            let first = format!("{}/devices?limit=200", of(&id));
            let (mut devices, mut path) = (Vec::new(), first.clone());
            loop {
                let page = api.get(&path).await?;
                devices.extend(list(&page, "items")?.iter().cloned());
                match page.get("next_cursor").and_then(Value::as_str) {
                    Some(cursor) => path = format!("{first}&cursor={cursor}"),
                    None => break,
                }
            }
            output.table(&devices, &["id", "key_id", "environment", "counter", "enrolled_at", "seen_at", "revoked_at"]);
            Ok(())
        }
        Verb::Revoke { id, device } => delete(api, &format!("{}/devices/{device}", of(&id)), "revoked").await,
    }
}
