//! The platform's word for the head of a pack, and what witnesses signed of that.

use chancery_crypto::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    dsse::Envelope,
    merkle::{self, Hash},
    runs::{self, Run},
};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

use super::{
    Examination, Outcome, PackVerdict, content, read_note, signed_head,
    statement::{self, object},
    verifies,
};
use crate::{
    audit::EventKind,
    certificates::{
        pack::{PLATFORM, PLATFORM_TYPE},
        trust::Trust,
        zip::Files,
    },
    keyring::DeclaredKey,
    time::Timestamp,
};

/// The first second that no time of a cosignature may be: moments are of the years 0 to 9998.
const TOO_LATE: u64 = 253_370_764_800;

/// The files of an anchor, each in its form.
struct Parts<'a> {
    envelope: Envelope,
    line: &'a [u8],
    event: Map<String, Value>,
    run: Run,
    between: Vec<Hash>,
    note: &'a [u8],
}

/// The keys of the platform's log.
struct Platform {
    origin: String,
    as_of: Option<u64>,
    keys: Vec<DeclaredKey>,
}

impl Examination {
    /// That the platform's log tells of this head; gives the signed head of that log. `None` for a pack without an anchor.
    pub(super) fn anchor(
        &mut self,
        files: &Files,
        trust: &Trust,
        head: &Checkpoint,
    ) -> Outcome<Option<SignedCheckpoint>> {
        if !PLATFORM.iter().any(|path| files.contains_key(*path)) {
            return Ok(None);
        }
        let parts = parts(files);
        let parts =
            self.check("anchor", parts, "an event of the platform's log", "a file of it is missing or malformed")?;
        let signed = trust.keys.iter().any(|(key_id, jwk)| verifies(&parts.envelope, PLATFORM_TYPE, jwk, key_id));
        let bad = "no key of the trust file signed the statement of the platform's log";
        self.check("anchor_signature", signed.then_some(()), "signed by a key of the trust file", bad)?;
        let stated =
            self.check("anchor_form", object(&parts.envelope.payload), "canonical JSON", "not canonical JSON")?;
        let text = |name: &str| stated.get(name).and_then(Value::as_str);
        let known = stated.get("v").and_then(Value::as_u64) == Some(1) && text("type") == Some("platform-log/v1");
        self.known("anchor_version", known, "platform-log/v1", "unknown kind or version")?;
        let platform = platform(&stated, trust);
        let good = platform.as_ref().map_or_else(String::new, |platform| platform.origin.clone());
        let platform = self.check("anchor_keys", platform, good, "of another instance or log, or malformed")?;
        let top = signed_head(parts.note, &platform.origin, &platform.keys);
        let top = top.filter(|top| platform.as_of == Some(top.size));
        let bad = "not signed by the platform's log key";
        let top = self.check("anchor_checkpoint", top, "signed by the platform's log key", bad)?;
        let told = tells_of(&parts.event, head).then_some(());
        let good = format!("event {} of the platform's log tells of this head", parts.run.0);
        self.check("anchor_event", told, good, "the platform's log tells of another head")?;
        let whole = runs::root(top.size, &[parts.run], [merkle::leaf_hash(parts.line)], &parts.between);
        let whole = whole.is_ok_and(|root| root == top.root).then_some(());
        let good = format!("under a head of {} events", top.size);
        self.check("anchor_inclusion", whole, good, "the event is not under the platform's checkpoint")?;
        Ok(read_note(parts.note))
    }

    /// That as many witnesses as the trust file asks for signed the platform's head.
    pub(super) fn witnesses(&mut self, trust: &Trust, anchor: Option<&SignedCheckpoint>) -> Outcome<()> {
        let signed = trust.witnesses.iter().filter_map(|witness| witness.verify_note(anchor?).ok());
        let mut times: Vec<u64> = signed.filter(|time| *time < TOO_LATE).collect();
        times.sort_unstable();
        let counted = format!("{} of {} cosignatures", times.len(), trust.quorum);
        let last = usize::try_from(trust.quorum).ok().and_then(|quorum| quorum.checked_sub(1));
        let full = last.and_then(|last| times.get(last)).and_then(|time| i64::try_from(*time).ok());
        let good = |time: &i64| format!("{counted}; as many at {}", Timestamp::from_seconds(*time));
        self.note("witnesses", full, good, &counted, PackVerdict::Unwitnessed).map(drop)
    }
}

fn parts(files: &Files) -> Option<Parts<'_>> {
    let [note, entries, keys, proof] = PLATFORM.map(|path| files.get(path).map(Vec::as_slice));
    let line = entries?.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n'))?;
    let (runs, between) = content::proof(proof?)?;
    let [run] = runs.as_slice() else { return None };
    let run = Some(*run).filter(|(start, end)| end - start == 1)?;
    Some(Parts { envelope: Envelope::from_json(keys?).ok()?, line, event: object(line)?, run, between, note: note? })
}

fn platform(stated: &Map<String, Value>, trust: &Trust) -> Option<Platform> {
    let text = |name: &str| stated.get(name).and_then(Value::as_str);
    let origin = text("log_origin")?.to_owned();
    let ours = text("instance") == Some(trust.instance.as_str())
        && trust.log_origin.as_ref().is_none_or(|known| *known == origin);
    let keys = statement::declared(stated, "log")?;
    ours.then(|| Platform { origin, as_of: stated.get("as_of_size").and_then(Value::as_u64), keys })
}

fn tells_of(event: &Map<String, Value>, head: &Checkpoint) -> bool {
    let inner = |of: &str, name: &str| event.get(of).and_then(|of| of.get(name));
    let text = |of: &str, name: &str| inner(of, name).and_then(Value::as_str);
    event.get("type").and_then(Value::as_str) == Some(EventKind::LogHeadNoted.as_str())
        && text("resource", "kind") == Some("log")
        && text("resource", "id") == Some(head.origin.as_str())
        && text("detail", "root") == Some(HEXLOWER.encode(&head.root).as_str())
        && inner("detail", "size").and_then(Value::as_u64) == Some(head.size)
}
