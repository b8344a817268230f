//! The two ways out: the plaintext goes, or the migration does. And the look for plaintext that slipped in.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Phi;
use chancery_datasets::{Pair, Restore};
use chancery_domain::datasets::tables::Stored;
use serde_json::json;

use super::{
    Run,
    legacy::HashForm,
    proof::sealed_text,
    seal::{number, same},
    value::{of_text, to_text},
};
use crate::commands::say;

/// How many ids of rows are named.
const NAMED: usize = 20;

impl Run {
    /// Empties or drops the plaintext column, once everything is proven.
    pub(super) async fn finish(&mut self, drop: bool, json: bool) -> Result<ExitCode> {
        let progress =
            self.migration.progress().await?.context("this column was not migrated; run it without --finish first")?;
        if progress.phase == "finished" && !drop {
            bail!("this column is finished already");
        }
        if !self.migration.has_sealed() {
            bail!("nothing was sealed yet; run it without --finish first");
        }
        if !drop && self.migration.plain_is_required() {
            self.migration.allow_nulls().await?;
        }
        // To the very end a change of the plaintext by an old program empties the sealed value, so that no stale one stands for it.
        self.migration.protect().await?;
        let proof = self.prove().await?;
        if !proof.is_whole() {
            self.bar.finish_and_clear();
            proof.print();
            bail!("not everything is proven, so no plaintext goes; run it without --finish first");
        }
        let cleared = if drop {
            let pending = self.migration.drop_plain().await?;
            if pending > 0 {
                bail!(
                    "{pending} rows were written in plaintext meanwhile, so nothing was dropped; run it without --finish first"
                );
            }
            proof.counts.plain
        } else {
            self.clear().await?
        };
        let left = if drop { 0 } else { self.migration.counts().await?.plain };
        if left == 0 {
            self.migration.unprotect().await?;
            self.migration.note("finished").await?;
        }
        self.bar.finish_and_clear();
        if json {
            let mut report = proof.to_json();
            if let Some(report) = report.as_object_mut() {
                report.insert("cleared".into(), json!(cleared));
                report.insert("dropped".into(), json!(drop));
                report.insert("left".into(), json!(left));
            }
            say(report);
        } else {
            proof.print();
            say(format_args!("Cleared         {cleared}{}", if drop { "  (the column was dropped)" } else { "" }));
            if left > 0 {
                say(format_args!(
                    "Left            {left}  (changed meanwhile: the application still writes plaintext; run it without --finish, then again)"
                ));
            }
        }
        Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn clear(&self) -> Result<u64> {
        self.bar.set_message("emptying");
        let mut cleared = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self.migration.pairs(after.as_deref(), self.batch).await?;
            let Some(last) = page.last().map(|pair| pair.at.clone()) else { return Ok(cleared) };
            let rows: Vec<(String, Phi<String>, Stored)> = page
                .into_iter()
                .filter_map(|pair| {
                    let (plain, sealed) = (pair.plain?, pair.sealed?);
                    sealed_text(&sealed)?;
                    Some((pair.at, plain, sealed))
                })
                .collect();
            cleared += self.migration.clear(&rows).await?;
            after = Some(last);
        }
    }

    /// Brings plaintext back where it is gone, then removes everything that the migration made.
    pub(super) async fn rollback(&mut self, json: bool) -> Result<ExitCode> {
        let progress =
            self.migration.progress().await?.context("there is nothing to roll back: this column was not migrated")?;
        let mut restored = 0;
        if self.migration.has_sealed() {
            self.migration.protect().await?;
            if progress.phase == "finished" {
                self.refuse_late_plaintext().await?;
            }
            restored = self.restore().await?;
        }
        let counts = self.migration.counts().await?;
        if !progress.added_term && self.reader.hash != HashForm::None {
            self.put_hashes_back().await?;
        }
        let alone = self.migration.drop_added(&progress).await?;
        if alone > 0 {
            bail!("{alone} rows were sealed meanwhile and have no plaintext; nothing was removed, run this again");
        }
        let empty = self.migration.refuse_nulls_again().await?;
        self.migration.forget().await?;
        self.bar.finish_and_clear();
        if json {
            say(json!({"rows": counts.rows, "plaintext": counts.plain, "restored": restored, "rolled_back": true,
                "not_null": empty.map(|empty| empty == 0)}));
        } else {
            say(format_args!("Rolled back     {} rows have their plaintext, {restored} got it back", counts.plain));
            say(format_args!(
                "Removed         {}",
                if progress.added_sealed { "the columns and the trigger that were added" } else { "the trigger" }
            ));
            match empty {
                None => {}
                Some(0) => say("Not null        the column refuses nulls again"),
                Some(empty) => say(format_args!(
                    "Not null        the column refused nulls before, and {empty} rows have none now: ALTER … SET NOT NULL is yours"
                )),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// After --finish no trigger told of a change of the plaintext, so nobody can say which of two values is the newer one.
    async fn refuse_late_plaintext(&self) -> Result<()> {
        let proof = self.prove().await?;
        if proof.mismatches > 0 {
            self.bar.finish_and_clear();
            bail!(
                "{} rows have plaintext that is not what their sealed value holds, written after --finish: {}; nothing was removed. \
                 Set the plaintext to NULL where the sealed value counts, or the sealed value to NULL where the plaintext does",
                proof.mismatches,
                proof.mismatched_rows.join(", ")
            );
        }
        Ok(())
    }

    /// Writes back what the sealed values hold, where the plaintext is gone or is another one: the trigger empties the sealed value
    /// when the plaintext changes, so one that differs is newer, written by an application that seals.
    async fn restore(&self) -> Result<u64> {
        self.bar.set_message("bringing back");
        let mut restored = 0;
        let mut closed = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.migration.pairs(after.as_deref(), self.batch).await?;
            let Some(last) = page.last().map(|pair| pair.at.clone()) else { break };
            let sealed: Vec<(Pair, String)> = page
                .into_iter()
                .filter_map(|pair| {
                    let text = sealed_text(pair.sealed.as_ref()?)?;
                    Some((pair, text))
                })
                .collect();
            let values: Vec<(&str, String)> =
                sealed.iter().map(|(pair, text)| (pair.row.as_str(), text.clone())).collect();
            let opened = if values.is_empty() { Vec::new() } else { self.open_each(&values).await? };
            let mut rows = Vec::new();
            for ((pair, _), opened) in sealed.iter().zip(opened) {
                let Some(opened) = opened else {
                    closed.push(pair.row.clone());
                    continue;
                };
                let read = |plain| self.reader.read(&pair.row, plain).and_then(|text| of_text(&self.field.kind, &text));
                if pair.plain.as_ref().and_then(read).is_some_and(|value| same(&value, &opened)) {
                    continue;
                }
                let Some(stored) = pair.sealed.clone() else { continue };
                let old = pair.plain.as_ref().map(|plain| Phi::new(plain.expose().clone()));
                rows.push(Restore { at: pair.at.clone(), old, new: to_text(&opened), sealed: stored });
            }
            restored += self.migration.restore(&rows).await?;
            after = Some(last);
        }
        if !closed.is_empty() {
            let count = closed.len();
            closed.truncate(NAMED);
            bail!(
                "the sealed values of {count} rows do not open, so they could not be compared: {}; nothing was removed",
                closed.join(", ")
            );
        }
        Ok(restored)
    }

    async fn put_hashes_back(&self) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.migration.pairs(after.as_deref(), self.batch).await?;
            let Some(last) = page.last().map(|pair| pair.at.clone()) else { return Ok(()) };
            let hashes: Vec<(String, Option<String>)> = page
                .into_iter()
                .filter_map(|pair| {
                    let plain = pair.plain?;
                    let text = self.reader.read(&pair.row, &plain)?;
                    Some((pair.at, self.reader.hash.of(&text)))
                })
                .collect();
            self.migration.put_terms(&hashes).await?;
            after = Some(last);
        }
    }

    /// Looks for rows with plaintext and no sealed value, and for values in the sealed column that are none.
    pub(super) async fn find_plaintext(&self, json: bool) -> Result<ExitCode> {
        let counts = self.migration.counts().await?;
        let found = self.migration.plain(None, u32::try_from(NAMED).unwrap_or(20)).await?;
        let rows: Vec<String> = found.into_iter().map(|row| row.row).collect();
        let mut odd = Vec::new();
        let mut after: Option<String> = None;
        while counts.unsealed > 0 && odd.len() < NAMED {
            let page = self.migration.pairs(after.as_deref(), 1000).await?;
            let Some(last) = page.last().map(|pair| pair.at.clone()) else { break };
            let unsealed =
                page.iter().filter(|pair| pair.sealed.as_ref().is_some_and(|sealed| sealed_text(sealed).is_none()));
            odd.extend(unsealed.map(|pair| pair.row.clone()));
            after = Some(last);
        }
        odd.truncate(NAMED);
        // After --finish every plaintext is one too many; before it, only what has no sealed value.
        let finished = self.migration.progress().await?.is_some_and(|progress| progress.phase == "finished");
        let plain = if finished { counts.plain } else { counts.pending };
        if json {
            say(json!({
                "plaintext": plain, "rows": rows, "not_sealed": counts.unsealed, "not_sealed_rows": odd, "of": counts.rows,
            }));
        } else {
            let rows =
                if self.migration.is_dropped() { "(the column was dropped)".to_owned() } else { rows.join(", ") };
            say(format_args!("Plaintext       {plain} of {} rows  {rows}", counts.rows));
            say(format_args!("Not sealed      {} values of the sealed column  {}", counts.unsealed, odd.join(", ")));
            if plain > 0 {
                say("Next            run this without --find-plaintext to seal them, and see who writes plaintext");
            }
        }
        let clean = plain == 0 && counts.unsealed == 0 && number(odd.len()) == 0;
        Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
