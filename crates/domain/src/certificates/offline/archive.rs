//! Checks an archive with nothing but the file and a trust file: that its leaves are under a head that the tenant's log key
//! signed, and that what is sealed is what the tenant signed. What is in it, only the tenant's keys show.

use chancery_crypto::{
    BLOB_HEADER, BlobHeader, BlobLayout,
    runs::{self, Run},
};
use serde_json::{Map, Value};

use super::{Examination, Outcome, PackReport, PackVerdict, content, lists, statement};
use crate::{
    audit::retention::Month,
    certificates::{
        pack::archive::{ARCHIVE_MANIFEST_TYPE, ARCHIVE_TYPE, ARCHIVE_VERSION, ArchiveParts},
        trust, zip,
        zip::Files,
    },
};

/// Every member that a manifest may have. One more may change what the others mean.
const MEMBERS: [&str; 10] =
    ["v", "type", "instance", "tenant_id", "log_origin", "as_of", "month", "indexes", "content", "files"];
const SEALED: &str = "content.sealed";

/// Checks an archive against a trust file, and against a newer checkpoint of the same log if one is at hand.
pub fn verify_archive(file: &[u8], trust: &[u8], newer_checkpoint: Option<&[u8]>) -> PackReport {
    let mut examination = Examination::default();
    let verdict = examination.archive(file, trust, newer_checkpoint).unwrap_or_else(|verdict| verdict);
    let Examination { checks, certificates, tenant, as_of } = examination;
    PackReport { verdict, checks, certificates, tenant, as_of }
}

/// Whether a file says that it is an archive.
pub fn is_archive(file: &[u8]) -> bool {
    zip::read(file).ok().is_some_and(|files| manifest_of(&files).is_some_and(|manifest| is_known(&manifest)))
}

/// What an archive holds; whether that is true, [`verify_archive`] says.
pub(crate) fn archive_parts(file: &[u8]) -> Option<ArchiveParts> {
    let mut files = zip::read(file).ok()?;
    let run = indexes(&manifest_of(&files)?)?;
    Some(ArchiveParts { run, leaves: files.remove("log/leaves")?, sealed: files.remove(SEALED)? })
}

impl Examination {
    fn archive(&mut self, file: &[u8], trust: &[u8], newer: Option<&[u8]>) -> Outcome<PackVerdict> {
        let bad = "not a trust file of a known version";
        let trust = trust::read(trust).ok();
        let trust = self.note("trust", trust, |trust| trust.instance.clone(), bad, PackVerdict::Unsupported)?;
        let bad = "not a canonical zip: bytes were added, lost or changed";
        let files = self.check("archive", zip::read(file).ok(), "canonical zip", bad)?;
        let manifest =
            self.check("manifest", manifest_of(&files), "canonical JSON", "missing or not canonical JSON")?;
        self.known("manifest_version", is_known(&manifest), ARCHIVE_TYPE, "unknown kind, version or member")?;
        let good = format!("{} files with their SHA-256", files.len().saturating_sub(2));
        self.check("files", lists(&manifest, &files).then_some(()), good, "files and manifest differ")?;

        let (keys, head) = self.signed(&files, &manifest, &trust, ARCHIVE_MANIFEST_TYPE)?;

        let month = manifest.get("month").and_then(Value::as_str).and_then(|month| month.parse::<Month>().ok());
        let part = month.zip(indexes(&manifest));
        let good =
            part.map_or_else(String::new, |(month, (first, end))| format!("{month}: indexes {first} to {}", end - 1));
        let (_, run) = self.check("part", part, good, "the manifest names no part of a log")?;
        let leaves = files.get("log/leaves").and_then(|leaves| leaves_of(leaves, run));
        let good = format!("{} leaves", run.1 - run.0);
        let leaves = self.check("leaves", leaves, good, "more or fewer than the part has")?;
        let proof = files.get("log/proof.json").and_then(|bytes| content::proof(bytes));
        let given = proof.filter(|(runs, _)| runs.as_slice() == [run]).map(|(_, given)| given);
        let good = format!("{} hashes", given.as_ref().map_or(0, Vec::len));
        let given = self.check("proof", given, good, "missing, malformed, or of another part")?;
        let root = runs::root(head.size, &[run], leaves.iter().copied(), &given);
        let whole = root.is_ok_and(|root| root == head.root).then_some(());
        let good = format!("{} of {} events", leaves.len(), head.size);
        self.check("inclusion", whole, good, "the leaves are not under the checkpoint")?;
        let sealed = files.get(SEALED).and_then(|sealed| sealed_as_told(sealed, &manifest));
        let good = sealed.map_or_else(String::new, |length| format!("{length} bytes, sealed"));
        self.check("content", sealed, good, "what is sealed has another form or length")?;
        // A fork is one whether anybody else signed or not.
        let verdict = newer.map_or(Ok(PackVerdict::Verified), |note| self.newer(note, &keys, &head))?;
        if trust.quorum > 0 {
            let detail = format!("0 of {} cosignatures", trust.quorum);
            self.checks.push(super::Check { name: "witnesses", ok: false, detail });
            return Ok(PackVerdict::Unwitnessed);
        }
        Ok(verdict)
    }
}

fn manifest_of(files: &Files) -> Option<Map<String, Value>> {
    files.get("MANIFEST.json").and_then(|bytes| statement::object(bytes))
}

fn is_known(manifest: &Map<String, Value>) -> bool {
    manifest.get("v").and_then(Value::as_u64) == Some(ARCHIVE_VERSION)
        && manifest.get("type").and_then(Value::as_str) == Some(ARCHIVE_TYPE)
        && manifest.keys().all(|name| MEMBERS.contains(&name.as_str()))
}

/// The part of the log that a manifest speaks of.
fn indexes(manifest: &Map<String, Value>) -> Option<Run> {
    match manifest.get("indexes")?.as_array()?.as_slice() {
        [first, end] => Some((first.as_u64()?, end.as_u64()?)).filter(|(first, end)| first < end),
        _ => None,
    }
}

fn leaves_of(leaves: &[u8], (first, end): Run) -> Option<Vec<[u8; 32]>> {
    let (whole, rest) = leaves.as_chunks::<32>();
    let complete = rest.is_empty() && u64::try_from(whole.len()).ok() == end.checked_sub(first);
    complete.then(|| whole.to_vec())
}

/// The length of what is sealed, if it has the form and length that the manifest tells.
fn sealed_as_told(sealed: &[u8], manifest: &Map<String, Value>) -> Option<u64> {
    let content = manifest.get("content")?.as_object().filter(|content| content.len() == 2)?;
    content.get("sha256")?.as_str().filter(|digest| digest.len() == 64)?;
    BlobHeader::from_bytes(sealed.get(..BLOB_HEADER)?).ok()?;
    let length = BlobLayout::of_sealed(u64::try_from(sealed.len()).ok()?)?.plaintext();
    (content.get("size")?.as_u64()? == length).then_some(length)
}
