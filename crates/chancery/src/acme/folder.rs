//! The folder: the account's key, the certificate with its key, and how often the authority was asked in vain. Mode 700; files 600.

use std::{
    fs::{File, OpenOptions, TryLockError, rename},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use chancery_crypto::sha256;
use chancery_domain::{Clock as _, Timestamp};
use chancery_kms::private_file::{self, PrivateFileError};
use data_encoding::HEXLOWER;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::{
    clock::SystemClock,
    config::AcmeConfig,
    tls::{Facts, TlsFiles, unfit},
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
    /// When the authority may be asked again. A pause of twice the longest was written by a clock that is wrong: it is none.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        let next = Timestamp::from_micros(self.next_micros);
        if next > now.plus_seconds(2 * LONGEST_PAUSE) { now } else { next }
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
        let pair = TlsFiles { certificate, key, allows_1_2: false, lenient: false, proofs: None };
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

    /// Puts a key and the chain of its certificate there, if they are a pair for these names that listeners will take; it is there
    /// completely or not at all.
    pub(super) fn keep_pair(&self, pem: &Zeroizing<String>, domains: &[String]) -> Result<(), Refusal> {
        let draft = self.folder.join("certificate.pem.new");
        self.write(&draft, pem.as_bytes()).map_err(|error| Refusal::with("folder", &error))?;
        let kept = self.check_pair(&draft, domains).and_then(|()| {
            let moved = rename(&draft, &self.pair.certificate).and_then(|()| File::open(&self.folder)?.sync_all());
            moved.map_err(|error| Refusal::with("folder", &error))
        });
        if kept.is_err() {
            // It has a key in it that nobody needs.
            let _ = std::fs::remove_file(&draft);
        }
        kept
    }

    fn check_pair(&self, draft: &Path, domains: &[String]) -> Result<(), Refusal> {
        let files = TlsFiles { certificate: draft.to_owned(), key: draft.to_owned(), ..self.pair.clone() };
        let facts = files.facts().map_err(|error| Refusal::with("certificate_unfit", &error))?;
        if let Some(problem) = unfit(&facts, SystemClock.now()) {
            return Err(Refusal::with("certificate_unfit", &problem));
        }
        match domains.iter().all(|domain| facts.covers(domain)) {
            true => Ok(()),
            false => Err(Refusal::of("certificate_unfit")),
        }
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
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        process::{Command, Stdio},
    };

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;
    use crate::{config::Look, guarded::Reach};

    fn folder() -> (tempfile::TempDir, Folder) {
        let held = tempfile::tempdir().unwrap();
        let folder = folder_in(held.path());
        (held, folder)
    }

    fn folder_in(held: &Path) -> Folder {
        let config = AcmeConfig {
            directory: "https://ca.example/directory".to_owned(),
            domains: vec!["auth.clinic.test".to_owned()],
            contact: Vec::new(),
            look: Look::Tls,
            folder: held.join("acme"),
            binding: None,
            profile: None,
            reach: Reach::default(),
        };
        Folder::open(&config).unwrap()
    }

    #[test]
    fn pauses_grow_to_six_hours_or_to_one_when_it_is_urgent() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let refusal = Refusal::of("dns");
        let mut attempts = Attempts::default();
        assert_eq!(attempts.next(at(0)), at(0), "nothing is waited for");
        let pauses: Vec<i64> = (0..9)
            .map(|_| {
                attempts = attempts.failed(at(0), &refusal, false);
                attempts.next(at(0)).as_seconds()
            })
            .collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600]);
        assert_eq!(attempts.failed(at(0), &refusal, true).next(at(0)), at(3_600));
        let fast = attempts.failed(at(86_400), &refusal, false);
        assert_eq!(fast.next(at(0)), at(0), "a clock that is a day ahead holds up nobody");
    }

    #[test]
    fn one_asks_at_a_time() {
        let (_held, folder) = folder();
        let ours = folder.lock().unwrap();
        assert!(ours.is_some() && folder.lock().unwrap().is_none());
        drop(ours);
        // A process that another test begins has it too, until it is another program.
        let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
        assert!((0..250).any(|_| folder.lock().unwrap().is_some() || {
            pause();
            false
        }));
    }

    /// Of this test, run as another process: where the folder is whose lock it holds until it is killed.
    const HOLDS: &str = "CHANCERY_TEST_HOLDS_LOCK_IN";

    #[test]
    fn a_process_that_is_killed_gives_the_lock_back() {
        if let Some(held) = std::env::var_os(HOLDS) {
            let lock = folder_in(Path::new(&held)).lock().unwrap();
            println!("holds the lock: {}", lock.is_some());
            // Until the other one ends, should it not come to killing this one.
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            return;
        }
        let (held, folder) = folder();
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("{module}::a_process_that_is_killed_gives_the_lock_back"))
            .args(["--exact", "--nocapture"])
            .env(HOLDS, held.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("holds the lock: true")), "the other process has no lock");
        assert!(folder.lock().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn a_certificate_that_no_listener_would_take_is_not_kept() {
        let (_held, folder) = folder();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pair = |name: &str, change: &dyn Fn(&mut CertificateParams), own: bool| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            change(&mut params);
            let signed = if own { params.self_signed(&key) } else { params.signed_by(&key, &authority) };
            Zeroizing::new(format!("{}{}", key.serialize_pem(), signed.unwrap().pem()))
        };
        let domains = ["auth.clinic.test".to_owned()];
        let usual = |_: &mut CertificateParams| {};
        let over = |params: &mut CertificateParams| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        };
        let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        for (why, pem) in [
            ("another name", pair("gate.clinic.test", &usual, false)),
            ("self-signed", pair("auth.clinic.test", &usual, true)),
            ("over", pair("auth.clinic.test", &over, false)),
            ("not valid yet", pair("auth.clinic.test", &early, false)),
        ] {
            assert_eq!(folder.keep_pair(&pem, &domains).unwrap_err().code, "certificate_unfit", "{why}");
            assert!(folder.facts().is_none(), "{why}: it is not there");
            assert!(!folder.folder.join("certificate.pem.new").exists(), "{why}: its key is gone");
        }
        folder.keep_pair(&pair("auth.clinic.test", &usual, false), &domains).unwrap();
        assert!(folder.facts().unwrap().covers("auth.clinic.test"));
    }
}
