//! The folder: the account's key, the certificate with its key, and how often the authority was asked in vain. Mode 700; files 600.

use std::{
    fs::{File, OpenOptions, TryLockError, rename},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use chancery_crypto::sha256;
use chancery_domain::Timestamp;
use chancery_kms::private_file::{self, PrivateFileError};
use data_encoding::HEXLOWER;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::{
    config::AcmeConfig,
    tls::{Facts, TlsFiles},
};

/// The longest file.
const LONGEST: usize = 64 * 1024;
/// How long after the first failure the authority is asked again; after each further one twice as long.
const PAUSE: i64 = 120;
/// At most so long, and while the certificate is over within a day.
const LONGEST_PAUSE: i64 = 6 * 3_600;
const URGENT_PAUSE: i64 = 3_600;

pub(super) struct Folder {
    folder: PathBuf,
    pair: TlsFiles,
    /// One account for each authority.
    account: PathBuf,
}

/// How often the authority was asked in vain since the last certificate.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Attempts {
    failures: u32,
    /// When it is asked again, in microseconds since 1970; as a text for people.
    next_micros: i64,
    next: String,
    code: String,
    detail: String,
}

impl Attempts {
    pub(super) fn next(&self) -> Timestamp {
        Timestamp::from_micros(self.next_micros)
    }

    pub(super) fn failed(&self, now: Timestamp, refusal: &Refusal, urgent: bool) -> Self {
        let pause = PAUSE.saturating_mul(1_i64 << self.failures.min(20));
        let next = now.plus_seconds(pause.min(if urgent { URGENT_PAUSE } else { LONGEST_PAUSE }));
        Self {
            failures: self.failures.saturating_add(1),
            next_micros: next.as_micros(),
            next: next.to_string(),
            code: refusal.code.to_owned(),
            detail: refusal.detail.clone(),
        }
    }
}

impl Folder {
    pub(super) fn open(config: &AcmeConfig) -> Result<Self> {
        let folder = config.folder.clone();
        private_file::create_folder(&folder).context("tls.acme.folder cannot be made")?;
        let name = HEXLOWER.encode(sha256(config.directory.as_bytes()).get(..8).unwrap_or_default());
        let account = folder.join(format!("account-{name}.json"));
        let (certificate, key) = (config.pair(), config.pair());
        let pair = TlsFiles { certificate, key, allows_1_2: false, lenient: false, awaited: true };
        Ok(Self { folder, pair, account })
    }

    /// While it is held no other process asks; `None` if another does.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What the certificate that is there says of itself.
    pub(super) fn facts(&self) -> Option<Facts> {
        self.pair.facts().ok()
    }

    /// Puts a key and the chain of its certificate there, if they are a pair for these names; it is there completely or not at all.
    pub(super) fn keep_pair(&self, pem: &Zeroizing<String>, domains: &[String]) -> Result<(), Refusal> {
        let draft = self.folder.join("certificate.pem.new");
        self.write(&draft, pem.as_bytes()).map_err(|error| Refusal::with("folder", &error))?;
        let (certificate, key) = (draft.clone(), draft.clone());
        let facts = TlsFiles { certificate, key, ..self.pair.clone() }.facts();
        let facts = facts.map_err(|error| Refusal::with("certificate_unfit", &error))?;
        if !domains.iter().all(|domain| facts.covers(domain)) {
            return Err(Refusal::of("certificate_unfit"));
        }
        let moved = rename(&draft, &self.pair.certificate).and_then(|()| File::open(&self.folder)?.sync_all());
        moved.map_err(|error| Refusal::with("folder", &error))
    }

    /// The account, if we have one with this authority.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, Refusal> {
        let content = match private_file::read(&self.account, LONGEST) {
            Ok(content) => content,
            Err(PrivateFileError::Missing(_)) => return Ok(None),
            Err(error) => return Err(Refusal::with("folder", &error)),
        };
        serde_json::from_slice(&content).map(Some).map_err(|error| Refusal::with("folder", &error))
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), Refusal> {
        let text = serde_json::to_vec(account).map(Zeroizing::new);
        let text = text.map_err(|error| Refusal::with("folder", &error))?;
        private_file::create(&self.account, &text).map_err(|error| Refusal::with("folder", &error))
    }

    /// The authority does not know it any more; a new one is made for the next order.
    pub(super) fn set_account_aside(&self) {
        // What cannot be moved is told of at the next attempt.
        let _ = rename(&self.account, self.account.with_extension("gone"));
    }

    pub(super) fn attempts(&self) -> Attempts {
        let content = private_file::read(&self.folder.join("attempts.json"), LONGEST).ok();
        content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
    }

    pub(super) fn keep_attempts(&self, attempts: &Attempts) -> io::Result<()> {
        let draft = self.folder.join("attempts.json.new");
        self.write(&draft, &serde_json::to_vec_pretty(attempts)?)?;
        rename(&draft, self.folder.join("attempts.json"))
    }

    pub(super) fn forget_attempts(&self) {
        // If it stays, a start waits a little longer than it must.
        let _ = std::fs::remove_file(self.folder.join("attempts.json"));
    }

    /// A draft that an attempt before left is written anew.
    fn write(&self, draft: &Path, content: &[u8]) -> io::Result<()> {
        let _ = std::fs::remove_file(draft);
        private_file::create(draft, content).map_err(|error| match error {
            PrivateFileError::Io { source, .. } => source,
            other => io::Error::other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_six_hours_or_to_one_when_it_is_urgent() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let refusal = Refusal::of("dns");
        let mut attempts = Attempts::default();
        assert_eq!(attempts.next(), at(0), "nothing is waited for");
        let pauses: Vec<i64> = (0..9)
            .map(|_| {
                attempts = attempts.failed(at(0), &refusal, false);
                attempts.next().as_seconds()
            })
            .collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600]);
        assert_eq!(attempts.failed(at(0), &refusal, true).next(), at(3_600));
    }
}
