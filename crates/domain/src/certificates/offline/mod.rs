//! Checks a pack with nothing but the pack and a trust file: no network, no store.
//!
//! The same checks, by the same names and in the same order, are in `tools/verify_pack.py` and `docs/verify.html`, which were
//! written from ADR 0024 alone; `cargo xtask verifiers` gives all three the packs of `testdata/packs`.

use chancery_crypto::{
    Ed25519PublicKey, Jwk,
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, VerifierKey, epoch_of},
    dsse::Envelope,
    sha256_hex,
};
use serde_json::{Map, Value};

use super::{
    pack::MANIFEST_TYPE,
    trust,
    verify::Check,
    zip::{self, Files},
};
use crate::{
    keyring::{DeclaredKey, declared::key_at},
    time::Timestamp,
};

mod anchor;
mod archive;
mod certificate;
mod content;
mod statement;

pub(crate) use archive::archive_parts;
pub use archive::{is_archive, verify_archive};
pub use certificate::State;
pub(super) use certificate::{became, state_of};
pub(super) use content::{counter, gaps};

codes! {
    /// What checking a pack comes to.
    pub enum PackVerdict {
        /// Everything holds.
        Verified = "verified",
        /// Everything holds, but a newer checkpoint of the log was given: there may be later events.
        VerifiedAsOf = "verified_as_of",
        /// The trust file asks for witnesses, and their quorum is missing.
        Unwitnessed = "unwitnessed",
        /// A check did not hold.
        Failed = "failed",
        /// The pack or the trust file is of a kind or version that this verifier does not know.
        Unsupported = "unsupported",
    }
}

impl PackVerdict {
    /// The exit code of `chancery verify`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::VerifiedAsOf => 10,
            Self::Unwitnessed => 20,
            Self::Failed => 30,
            Self::Unsupported => 40,
        }
    }
}

/// What was checked, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// The verdict.
    pub verdict: PackVerdict,
    /// Every check that ran, in order.
    pub checks: Vec<Check>,
    /// The ids of the certificates that are valid.
    pub certificates: Vec<String>,
    /// Whose pack it is, once that is certain.
    pub tenant: Option<String>,
    /// The head that it rests on, once that is certain.
    pub as_of: Option<AsOf>,
}

/// A head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// How many events it has.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
    /// When it was signed, as the tenant says.
    pub signed_at: Timestamp,
}

/// Checks a pack against a trust file, and against a newer checkpoint of the same log if one is at hand.
pub fn verify_pack(pack: &[u8], trust: &[u8], newer_checkpoint: Option<&[u8]>) -> PackReport {
    let mut examination = Examination::default();
    let verdict = examination.run(pack, trust, newer_checkpoint).unwrap_or_else(|verdict| verdict);
    let Examination { checks, certificates, tenant, as_of } = examination;
    PackReport { verdict, checks, certificates, tenant, as_of }
}

/// What a check found, or the verdict that it ends with.
type Outcome<T> = Result<T, PackVerdict>;

/// The checks so far.
#[derive(Default)]
struct Examination {
    checks: Vec<Check>,
    certificates: Vec<String>,
    tenant: Option<String>,
    as_of: Option<AsOf>,
}

impl Examination {
    /// Notes a check; if it did not hold, the pack fails.
    fn check<T>(&mut self, name: &'static str, found: Option<T>, good: impl Into<String>, bad: &str) -> Outcome<T> {
        self.note(name, found, |_| good.into(), bad, PackVerdict::Failed)
    }

    /// Notes a check of a kind or version; if it did not hold, the pack is not supported.
    fn known(&mut self, name: &'static str, held: bool, good: &str, bad: &str) -> Outcome<()> {
        self.note(name, held.then_some(()), |()| good.to_owned(), bad, PackVerdict::Unsupported)
    }

    fn note<T>(
        &mut self,
        name: &'static str,
        found: Option<T>,
        good: impl FnOnce(&T) -> String,
        bad: &str,
        otherwise: PackVerdict,
    ) -> Outcome<T> {
        let detail = found.as_ref().map_or_else(|| bad.to_owned(), good);
        self.checks.push(Check { name, ok: found.is_some(), detail });
        found.ok_or(otherwise)
    }

    fn run(&mut self, pack: &[u8], trust: &[u8], newer: Option<&[u8]>) -> Outcome<PackVerdict> {
        let bad = "not a trust file of a known version";
        let trust = trust::read(trust).ok();
        let trust = self.note("trust", trust, |trust| trust.instance.clone(), bad, PackVerdict::Unsupported)?;
        let bad = "not a canonical zip: bytes were added, lost or changed";
        let files = self.check("archive", zip::read(pack).ok(), "canonical zip", bad)?;
        let manifest = files.get("MANIFEST.json").and_then(|bytes| statement::object(bytes));
        let manifest = self.check("manifest", manifest, "canonical JSON", "missing or not canonical JSON")?;
        let known = statement::is_known_manifest(&manifest);
        self.known("manifest_version", known, "audit-pack/v2", "unknown kind, version or member")?;
        let listed = lists(&manifest, &files).then_some(());
        let good = format!("{} files with their SHA-256", files.len().saturating_sub(2));
        self.check("files", listed, good, "files and manifest differ")?;

        let (keys, head) = self.signed(&files, &manifest, &trust, MANIFEST_TYPE)?;

        self.content(&manifest, &files, &keys.certificate, &head)?;
        let anchor = self.anchor(&files, &trust, &head)?;
        if trust.quorum > 0 {
            self.witnesses(&trust, anchor.as_ref())?;
        }
        newer.map_or(Ok(PackVerdict::Verified), |note| self.newer(note, &keys, &head))
    }

    /// What the tenant signed: the manifest, which is of this type, and the head of the log that all of it rests on.
    fn signed(
        &mut self,
        files: &Files,
        manifest: &Map<String, Value>,
        trust: &trust::Trust,
        manifest_type: &str,
    ) -> Outcome<(statement::Keys, Checkpoint)> {
        let keys = self.keys(files, manifest, trust)?;
        let signed = is_signed(files, &keys.certificate, manifest_type).then_some(());
        self.check("manifest_signature", signed, "signed by the tenant", "the manifest is not signed by the tenant")?;
        let head = files.get("log/checkpoint").and_then(|note| signed_head(note, &keys.origin, &keys.log));
        let bad = "not signed by the tenant's log key";
        let head = self.check("checkpoint", head, "signed by the tenant's log key", bad)?;
        let signed_at = statement::signed_at(manifest, &head);
        let good = signed_at.map_or_else(String::new, |at| format!("{} events, signed {at}", head.size));
        let signed_at = self.check("as_of", signed_at, good, "manifest and checkpoint name different heads")?;
        self.as_of = Some(AsOf { size: head.size, root: head.root, signed_at });
        let same = (keys.as_of == Some(head.size)).then_some(());
        self.check("keys_as_of", same, "stated at the checkpoint", "the keys were stated at another size of the log")?;
        Ok((keys, head))
    }

    /// A newer head of the same log makes the pack «as of»; one that contradicts it makes it fail.
    fn newer(&mut self, note: &[u8], keys: &statement::Keys, head: &Checkpoint) -> Outcome<PackVerdict> {
        let newer = signed_head(note, &keys.origin, &keys.log);
        let (bad, otherwise) = if is_by_a_later_key(note, keys, head.size) {
            // Or by a stranger: which of both, the pack cannot tell.
            ("signed by a log key that this pack does not know: get a newer pack", PackVerdict::Unsupported)
        } else {
            ("the given checkpoint is not of this log", PackVerdict::Failed)
        };
        let newer = self.note("newer_checkpoint", newer, |_| "of the same log".to_owned(), bad, otherwise)?;
        let same = (newer.size != head.size || newer.root == head.root).then_some(());
        let bad = "two heads of one size differ: the log was forked";
        self.check("newer_head", same, format!("{} events", newer.size), bad)?;
        // A pack proves what it holds under its own head; that an older head is a beginning of it, it cannot show.
        let bad = "it is older than the pack, which does not show that the log only grew";
        self.check("not_older", (newer.size >= head.size).then_some(()), "not before the pack's", bad)?;
        Ok(if newer.size > head.size { PackVerdict::VerifiedAsOf } else { PackVerdict::Verified })
    }
}

/// Whether exactly the files that the manifest lists are there.
fn lists(manifest: &Map<String, Value>, files: &Files) -> bool {
    let Some(listed) = manifest.get("files").and_then(Value::as_array) else { return false };
    let mut found = files.iter().filter(|(path, _)| !matches!(path.as_str(), "MANIFEST.json" | "MANIFEST.dsse"));
    let same = listed.iter().all(|entry| {
        let Some((path, data)) = found.next() else { return false };
        entry.as_object().is_some_and(|entry| entry.len() == 4)
            && entry.get("role").is_some_and(Value::is_string)
            && entry.get("path").and_then(Value::as_str) == Some(path)
            && entry.get("sha256").and_then(Value::as_str) == Some(sha256_hex(data).as_str())
            && entry.get("size").and_then(Value::as_u64) == u64::try_from(data.len()).ok()
    });
    same && found.next().is_none()
}

/// Whether one of the tenant's keys signed the manifest's exact bytes.
fn is_signed(files: &Files, keys: &[DeclaredKey], manifest_type: &str) -> bool {
    let envelope = files.get("MANIFEST.dsse").and_then(|bytes| Envelope::from_json(bytes).ok());
    envelope.is_some_and(|envelope| {
        files.get("MANIFEST.json") == Some(&envelope.payload)
            && keys.iter().any(|key| key.state.opens() && verifies(&envelope, manifest_type, &key.jwk, &key.key_id))
    })
}

fn verifies(envelope: &Envelope, payload_type: &str, jwk: &Jwk, key_id: &str) -> bool {
    envelope.payload_type == payload_type && envelope.verify(jwk, key_id).is_ok()
}

fn read_note(note: &[u8]) -> Option<SignedCheckpoint> {
    let signed = SignedCheckpoint::parse(std::str::from_utf8(note).ok()?).ok()?;
    // As every number of a pack: not every language has larger ones.
    (signed.checkpoint().size < 1 << 53).then_some(signed)
}

fn verifier(key: &DeclaredKey, origin: &str) -> Option<VerifierKey> {
    VerifierKey::new(origin, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok()
}

/// Whether a checkpoint says that it is a later one of this log, by none of the log keys that the pack knows.
fn is_by_a_later_key(note: &[u8], keys: &statement::Keys, size: u64) -> bool {
    let Some(signed) = read_note(note) else { return false };
    let name = &signed.checkpoint().origin;
    let unknown = |key: &DeclaredKey| {
        verifier(key, name).is_some_and(|key| signed.verify(&key) == Err(CheckpointError::UnknownKey))
    };
    epoch_of(name, &keys.origin).is_some()
        && signed.checkpoint().size > size
        && signed.names(name)
        && keys.log.iter().all(unknown)
}

/// A checkpoint of this log, if the tenant's log key of that time signed it. After a restore its heads bear the name of an epoch.
fn signed_head(note: &[u8], origin: &str, log_keys: &[DeclaredKey]) -> Option<Checkpoint> {
    let signed = read_note(note)?;
    let key = key_at(log_keys, signed.checkpoint().size).filter(|key| key.state.opens())?;
    let name = &signed.checkpoint().origin;
    epoch_of(name, origin)?;
    signed.verify(&verifier(key, name)?).ok().cloned()
}

#[cfg(test)]
mod tests;
