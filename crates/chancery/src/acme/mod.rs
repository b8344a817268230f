//! An authority gives the listeners' certificate (RFC 8555), and the next one in time. See `docs/adr/0037-acme.md`.
//!
//! What is got is a file like any other: [`crate::tls`] takes it over when it has changed. So the certificate at work stays whatever
//! happens here. Processes that share the folder share all that is in it: the one that has its lock asks, whichever is looked at has the
//! proof, and the pause after a failure is everybody's. See `docs/adr/0039-nodes-share-a-folder.md`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use chancery_domain::{
    Clock as _, Instance, Timestamp,
    tls::{Trouble, not_renewed},
};
use tokio::task::JoinHandle;

use crate::{
    clock::SystemClock,
    config::AcmeConfig,
    guarded::Guarded,
    tls::{Facts, Proofs, unfit},
};

mod asked;
mod folder;
mod order;
mod refusal;

use folder::Folder;
use refusal::Refusal;

/// Until a connection to the authority stands.
const CONNECT: Duration = Duration::from_secs(10);
/// For a whole request.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a whole order.
const ORDER: Duration = Duration::from_secs(300);
/// How long at most until the clock and the files are looked at again.
const LOOK: i64 = 300;
/// How long another process that has the folder is left alone.
const OTHERS: i64 = 30;
/// A start does not wait longer than this for the end of a pause: whoever restarts has perhaps mended what was wrong.
const FIRST: i64 = 900;

/// Sees to the certificate from here on.
///
/// # Errors
///
/// If the folder cannot be made, or the client.
pub fn begin(config: AcmeConfig, instance: &Arc<Instance>) -> Result<JoinHandle<()>> {
    let client = Arc::new(Guarded::new(&config.reach, CONNECT, PATIENCE).context("tls.acme")?);
    let folder = Folder::open(&config)?;
    let (proofs, instance) = (Proofs::new(config.proofs()), Arc::clone(instance));
    Ok(tokio::spawn(Renewing { config, folder, client, proofs, instance }.run()))
}

struct Renewing {
    config: AcmeConfig,
    folder: Folder,
    client: Arc<Guarded>,
    proofs: Proofs,
    instance: Arc<Instance>,
}

impl Renewing {
    async fn run(self) {
        let start = SystemClock.now();
        let patience = Patience { start, found: self.folder.attempts().next(start) };
        let mut earliest = start;
        loop {
            let now = SystemClock.now();
            let due = self.due(&patience, now).max(earliest);
            if due > now {
                // The clock may be set, and another process may have been quicker.
                tokio::time::sleep(until(due, now).min(Duration::from_secs(LOOK.unsigned_abs()))).await;
                continue;
            }
            earliest = match self.folder.lock() {
                // Another process may have asked, in vain or not, until it gave the lock back.
                Ok(Some(_lock)) if self.due(&patience, now) > now => now,
                Ok(Some(_lock)) => self.ask().await,
                Ok(None) => now.plus_seconds(OTHERS),
                Err(error) => self.refused(&Refusal::with("folder", &error)).await,
            };
        }
    }

    /// When the authority is asked: when a certificate is wanted, and the last failure is long enough ago, whosever it was.
    fn due(&self, patience: &Patience, now: Timestamp) -> Timestamp {
        let wanted = due(self.folder.facts().as_ref(), &self.config.domains, now);
        if wanted > now {
            // Perhaps another process got it.
            self.told_renewed();
        }
        wanted.max(patience.pause(self.folder.attempts().next(now)))
    }

    fn told_renewed(&self) {
        if self.instance.tls().troubles().contains(&Trouble::NotRenewed) {
            tracing::info!("The authority gives certificates again");
            self.instance.tls().renewed();
        }
    }

    /// Asks for a certificate, and says when to ask again at the earliest.
    async fn ask(&self) -> Timestamp {
        let asked = tokio::time::timeout(ORDER, order::certificate(self)).await;
        match asked.unwrap_or_else(|_| Err(Refusal::of("timeout"))) {
            Ok(()) => {
                self.folder.forget_attempts();
                self.told_renewed();
                // Not at once again, whatever its dates say.
                let now = SystemClock.now();
                self.folder.facts().map_or(now.plus_seconds(LOOK), |facts| now.plus_seconds(left(&facts, now) / 3))
            }
            Err(refusal) => self.refused(&refusal).await,
        }
    }

    async fn refused(&self, refusal: &Refusal) -> Timestamp {
        // Asking may have taken minutes.
        let now = SystemClock.now();
        let urgent = self.folder.facts().is_none_or(|facts| left(&facts, now) < 86_400);
        let attempts = self.folder.attempts().failed(now, refusal, urgent);
        let (code, next) = (refusal.code, attempts.next(now));
        if let Err(error) = self.folder.keep_attempts(&attempts) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "The folder tls.acme.folder takes no file");
        }
        // A moment with all its digits would be taken for a number of somebody's.
        let wait = next.as_seconds() - now.as_seconds();
        tracing::error!(
            code,
            "The authority of tls.acme.directory gave no certificate; it is asked again in {wait} s. What it said is in attempts.json of tls.acme.folder"
        );
        if let Err(error) = not_renewed(&self.instance, code, next).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "The log does not take that the authority gave no certificate");
        }
        next
    }
}

/// How long a start waits for the end of a pause that was there before.
struct Patience {
    start: Timestamp,
    found: Timestamp,
}

impl Patience {
    fn pause(&self, next: Timestamp) -> Timestamp {
        if next == self.found { next.min(self.start.plus_seconds(FIRST)) } else { next }
    }
}

/// When the next certificate is wanted: now if there is none that does for these names, else after two thirds of its life.
fn due(facts: Option<&Facts>, domains: &[String], now: Timestamp) -> Timestamp {
    match facts {
        Some(facts) if unfit(facts, now).is_none() && domains.iter().all(|domain| facts.covers(domain)) => {
            facts.starts.plus_seconds((facts.ends.as_seconds() - facts.starts.as_seconds()) * 2 / 3)
        }
        _ => now,
    }
}

fn left(facts: &Facts, now: Timestamp) -> i64 {
    (facts.ends.as_seconds() - now.as_seconds()).max(0)
}

fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(moment.as_micros() - now.as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_certificate_is_wanted_after_two_thirds_of_its_life_or_at_once_without_one() {
        let at = |days: i64| Timestamp::from_micros(days * 86_400 * 1_000_000);
        let facts =
            Facts { self_signed: false, starts: at(0), ends: at(90), names: vec!["auth.clinic.test".to_owned()] };
        let domains = ["auth.clinic.test".to_owned()];
        assert_eq!(due(Some(&facts), &domains, at(1)), at(60));
        assert_eq!(due(Some(&facts), &domains, at(70)), at(60), "it stays wanted");
        assert_eq!(due(None, &domains, at(1)), at(1));
        assert_eq!(due(Some(&facts), &domains, at(91)), at(91), "it is over");
        let more = ["auth.clinic.test".to_owned(), "gate.clinic.test".to_owned()];
        assert_eq!(due(Some(&facts), &more, at(1)), at(1), "a name came");
        let own = Facts { self_signed: true, ..facts };
        assert_eq!(due(Some(&own), &domains, at(1)), at(1), "no listener takes it");
    }

    #[test]
    fn a_start_waits_a_quarter_of_an_hour_for_a_pause_of_before_and_the_whole_of_one_that_came_since() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let patience = Patience { start: at(100), found: at(20_000) };
        assert_eq!(patience.pause(at(20_000)), at(100 + FIRST));
        assert_eq!(patience.pause(at(41_600)), at(41_600), "another process, or we, asked in vain since");
        let patience = Patience { start: at(100), found: at(160) };
        assert_eq!(patience.pause(at(160)), at(160));
    }
}
