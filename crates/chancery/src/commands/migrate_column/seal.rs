//! Seals what is pending, pass by pass, until nothing is.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{Phi, Sealed};
use chancery_datasets::{Plain, Seal};
use chancery_domain::datasets::tables::Stored;
use serde_json::Value;

use super::{
    Done, Run,
    server::Refused,
    value::{of_text, to_text},
};

/// More passes than these mean that something writes plaintext faster than it is sealed.
const MAX_PASSES: usize = 50;
/// How many ids of refused rows are named.
const NAMED: usize = 20;

/// A row with its value as the API takes it.
struct Readable {
    row: Plain,
    value: Value,
}

impl Run {
    /// Seals every pending row. What the application writes meanwhile is met by the next pass.
    pub(super) async fn seal_all(&mut self) -> Result<Done> {
        let mut done = Done::default();
        let before = self.migration.counts().await?;
        self.bar.set_length(before.pending);
        self.bar.set_message("sealing");
        // A crash left it there; rows before it were done.
        let mut after = self.migration.progress().await?.and_then(|progress| progress.row_at);
        for _ in 0..MAX_PASSES {
            // Those of the last pass count: a row that was refused may have been mended meanwhile.
            (done.refused, done.refused_rows) = (0, Vec::new());
            let from_the_start = after.is_none();
            let mut met = 0;
            loop {
                let began = Instant::now();
                let page = self.migration.plain(after.as_deref(), self.batch).await?;
                let Some(last) = page.last().map(|row| row.at.clone()) else { break };
                let rows = page.len();
                met += number(rows);
                self.seal_batch(page, &last, &mut done).await?;
                after = Some(last);
                self.pause(rows, began).await;
            }
            after = None;
            self.migration.seal(&[], None).await?;
            let left = self.migration.counts().await?.pending;
            // Within one batch of everything: what is left was written a moment ago, by a program that does not seal yet.
            let caught_up = from_the_start && met <= done.refused + u64::from(self.batch);
            if left == 0 || caught_up {
                return Ok(done);
            }
        }
        bail!(
            "plaintext is written faster than it is sealed; let the application write the sealed column too, and run this again"
        )
    }

    async fn seal_batch(&mut self, page: Vec<Plain>, last: &str, done: &mut Done) -> Result<()> {
        let mut readable = Vec::with_capacity(page.len());
        for row in page {
            let value = self.reader.read(&row.row, &row.value).and_then(|text| {
                if row.term.is_some() && self.reader.hash.of(&text).is_some_and(|hash| Some(hash) != row.term) {
                    done.other_hashes += 1;
                }
                of_text(&self.field.kind, &text)
            });
            match value {
                Some(value) => readable.push(Readable { row, value }),
                None => refuse(done, &row.row),
            }
        }
        let sealed = loop {
            if readable.is_empty() {
                self.migration.seal(&[], Some(last)).await?;
                return Ok(());
            }
            let values: Vec<(&str, Value)> =
                readable.iter().map(|readable| (readable.row.row.as_str(), readable.value.clone())).collect();
            let count = values.len();
            match self.server.seal(&self.field, &values).await? {
                Ok(sealed) => break sealed,
                Err(Refused(positions)) => {
                    for at in positions.into_iter().rev().filter(|at| *at < count) {
                        refuse(done, &readable.remove(at).row.row);
                    }
                }
            }
        };
        let mut seals = Vec::with_capacity(sealed.len());
        for (readable, sealed) in readable.iter().zip(sealed) {
            let text = sealed.sealed;
            let sealed_value = Sealed::from_text(&text).context("the server gave no sealed value")?;
            let old = Phi::new(readable.row.value.expose().clone());
            seals.push(Seal { at: readable.row.at.clone(), old, sealed: sealed_value, term: sealed.term });
        }
        let written = self.migration.seal(&seals, Some(last)).await?;
        done.overtaken += number(seals.len() - written.len());
        done.sealed += number(written.len());
        self.verify(&written, &seals, &readable).await?;
        self.bar.inc(number(written.len()));
        Ok(())
    }

    /// Reads back what was written, opens it through the API, and compares it with what was read before.
    async fn verify(&self, written: &[String], seals: &[Seal], readable: &[Readable]) -> Result<()> {
        let found = self.migration.read(written).await?;
        let mut wanted = Vec::with_capacity(found.len());
        for pair in &found {
            let Some(at) = seals.iter().position(|seal| seal.at == pair.at) else { continue };
            let (Some(seal), Some(readable)) = (seals.get(at), readable.get(at)) else { continue };
            let stored = match &pair.sealed {
                Some(Stored::Text(text)) => text.clone(),
                Some(Stored::Bytes(bytes)) => {
                    Sealed::from_bytes(bytes.clone()).map_or_else(|_| String::new(), |s| s.to_text())
                }
                None => String::new(),
            };
            // Changed by the application since: its trigger or its own sealing is what counts now.
            if stored == seal.sealed.to_text() {
                wanted.push((pair, stored, &readable.value));
            } else if pair.plain.as_ref().is_some_and(|plain| plain.expose() == seal.old.expose()) && stored.is_empty()
            {
                bail!("row {}: the database does not keep what was written", pair.row);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let values: Vec<(&str, String)> =
            wanted.iter().map(|(pair, text, _)| (pair.row.as_str(), text.clone())).collect();
        let opened = self.server.open(&self.field, &values).await?;
        for ((pair, _, value), opened) in wanted.iter().zip(&opened) {
            if !same(value, opened) {
                bail!("row {}: what was sealed does not open to what was read. Stop here and tell us", pair.row);
            }
        }
        Ok(())
    }
}

/// Whether two values are the same, text for text.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    one == other || (!one.is_null() && !other.is_null() && to_text(one).expose() == to_text(other).expose())
}

fn refuse(done: &mut Done, row: &str) {
    done.refused += 1;
    if done.refused_rows.len() < NAMED {
        done.refused_rows.push(row.to_owned());
    }
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
