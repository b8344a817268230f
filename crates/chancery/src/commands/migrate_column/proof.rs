//! What can be said in the end: counts, and every sealed value opened and compared with its plaintext.

use anyhow::Result;
use chancery_crypto::{Sealed, sha256_hex};
use chancery_datasets::{Counts, Pair};
use chancery_domain::datasets::tables::Stored;
use serde_json::{Value, json};

use super::{
    Run,
    seal::{number, same},
    server::NotOpened,
    value::of_text,
};
use crate::commands::say;

/// How many ids of rows are named.
const NAMED: usize = 20;

/// The final proof.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) counts: Counts,
    /// Rows whose sealed value was opened and compared with their plaintext.
    pub(super) compared: u64,
    /// Rows where the two differ.
    pub(super) mismatches: u64,
    pub(super) mismatched_rows: Vec<String>,
    /// SHA-256 over the ids of all rows in their order: which rows this speaks of.
    ids: String,
}

/// A pair whose two sides can be compared: row, sealed text, plaintext.
struct Comparable {
    row: String,
    sealed: String,
    value: Option<Value>,
}

impl Proof {
    /// Nothing is left in clear alone, nothing is in the sealed column that is not sealed, and everything opens to its plaintext.
    pub(super) fn is_whole(&self) -> bool {
        self.counts.pending == 0 && self.counts.unsealed == 0 && self.mismatches == 0
    }

    /// All but what a program wrote in clear meanwhile.
    pub(super) fn lacks_only_pending(&self) -> bool {
        self.counts.unsealed == 0 && self.mismatches == 0
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "rows": self.counts.rows, "plaintext": self.counts.plain, "sealed": self.counts.sealed, "nulls": self.counts.nulls,
            "pending": self.counts.pending, "unsealed": self.counts.unsealed, "compared": self.compared,
            "mismatches": self.mismatches, "mismatched_rows": self.mismatched_rows, "ids_sha256": self.ids,
        })
    }

    pub(super) fn print(&self) {
        let Counts { rows, plain, sealed, pending, unsealed, nulls } = self.counts;
        say(format_args!("Rows            {rows}  (ids {})", self.ids));
        say(format_args!("Plaintext       {plain}"));
        say(format_args!("Sealed          {sealed}"));
        say(format_args!("Nulls           {nulls}"));
        say(format_args!("Pending         {pending}"));
        say(format_args!("Not sealed      {unsealed}  (in the sealed column)"));
        say(format_args!(
            "Compared        {}, {} differ {}",
            self.compared,
            self.mismatches,
            self.mismatched_rows.join(", ")
        ));
    }
}

impl Run {
    /// Compares every row that has both plaintext and a sealed value.
    pub(super) async fn prove(&self) -> Result<Proof> {
        let counts = self.migration.counts().await?;
        self.bar.reset();
        self.bar.set_length(counts.rows);
        self.bar.set_message("comparing");
        let mut proof = Proof { counts, ..Proof::default() };
        let mut ids = [0; 32];
        let mut after: Option<String> = None;
        loop {
            let page = self.migration.pairs(after.as_deref(), 1000).await?;
            let Some(last) = page.last().map(|pair| pair.at.clone()) else { break };
            for pair in &page {
                ids = chancery_crypto::sha256(&[&ids[..], pair.row.as_bytes()].concat());
            }
            let met = number(page.len());
            let pairs = page.into_iter().filter_map(|pair| self.comparable(pair)).collect::<Vec<_>>();
            self.compare(pairs, &mut proof).await?;
            self.bar.inc(met);
            after = Some(last);
        }
        proof.ids = sha256_hex(&ids);
        Ok(proof)
    }

    fn comparable(&self, pair: Pair) -> Option<Comparable> {
        let (Some(plain), Some(sealed)) = (pair.plain, pair.sealed) else { return None };
        let sealed = sealed_text(&sealed)?;
        let value = self.reader.read(&pair.row, &plain).and_then(|text| of_text(&self.field.kind, &text));
        Some(Comparable { row: pair.row, sealed, value })
    }

    async fn compare(&self, pairs: Vec<Comparable>, proof: &mut Proof) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let values: Vec<(&str, String)> = pairs.iter().map(|pair| (pair.row.as_str(), pair.sealed.clone())).collect();
        let opened = self.open_each(&values).await?;
        for (pair, opened) in pairs.iter().zip(&opened) {
            proof.compared += 1;
            let is_same = |value| opened.as_ref().is_some_and(|opened| same(value, opened));
            if !pair.value.as_ref().is_some_and(is_same) {
                proof.mismatches += 1;
                if proof.mismatched_rows.len() < NAMED {
                    proof.mismatched_rows.push(pair.row.clone());
                }
            }
        }
        Ok(())
    }

    /// Opens values of rows; `None` for those that do not open. One of them refuses a whole request, so it is looked for by halves.
    pub(super) async fn open_each(&self, values: &[(&str, String)]) -> Result<Vec<Option<Value>>> {
        match self.server.open(&self.field, values).await {
            Ok(opened) => Ok(opened.into_iter().map(Some).collect()),
            Err(error) if !error.is::<NotOpened>() => Err(error),
            Err(error) if values.len() <= 1 => {
                tracing::debug!(%error, "A sealed value does not open");
                Ok(values.iter().map(|_| None).collect())
            }
            Err(_) => {
                let (first, second) = values.split_at(values.len() / 2);
                let mut opened = Box::pin(self.open_each(first)).await?;
                opened.extend(Box::pin(self.open_each(second)).await?);
                Ok(opened)
            }
        }
    }
}

/// The text form of a stored value; `None` if it is not sealed.
pub(super) fn sealed_text(stored: &Stored) -> Option<String> {
    match stored {
        Stored::Text(text) => Sealed::from_text(text).ok().map(|_| text.clone()),
        Stored::Bytes(bytes) => Sealed::from_bytes(bytes.clone()).ok().map(|sealed| sealed.to_text()),
    }
}
