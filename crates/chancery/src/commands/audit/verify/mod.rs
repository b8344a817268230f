//! Checks a log here, with nothing believed but a key that was seen before.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{
    Ed25519PublicKey, Jwk,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey, epoch_split},
    merkle::{self, Hash},
    tiles::Tiles,
};
use chancery_domain::{Clock as _, audit::EventKind};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PAGE, between, page};
use crate::{
    clock::SystemClock,
    commands::{
        client::{Api, Output, list},
        say,
    },
};

mod events;
mod places;
mod purges;

use events::{Events, Leaves, with_tiles};

/// The exit code if something does not hold.
const FAILED: u8 = 30;
/// The span of time that one question may have, in seconds.
const SPAN: i64 = 366 * 24 * 3_600;
/// How far back is looked for events: longer than they are kept.
const SPANS: i64 = 12;

/// `chancery audit verify`. Exit codes: 0 verified, 30 failed.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// What was seen before: the log's key and signed head. Kept here when all holds, so that next time a log that lost or
    /// changed something is found out
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The first place to check; without --state from the beginning, with it from the head that was seen before
    #[arg(long, value_name = "INDEX")]
    first: Option<u64>,
    /// The place after the last one to check; the signed head's size if nothing is said
    #[arg(long, value_name = "INDEX")]
    end: Option<u64>,
    /// Believe a log key that is not the one seen before, by its id: after a rotation that you know of
    #[arg(long, value_name = "KEY_ID")]
    accept_key: Option<String>,
    /// Believe a log that lost events since the head that was seen before, because its store was put back and it says so itself:
    /// after a restore that you know of
    #[arg(long)]
    accept_restore: bool,
}

/// What was seen before.
struct Seen {
    key_id: String,
    head: Checkpoint,
}

/// One check that ran.
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub(super) async fn run(api: &Api, output: Output, args: VerifyArgs) -> Result<ExitCode> {
    let mut checks = Vec::new();
    let held = check(api, &args, &mut checks).await?;
    if output.is_json() {
        let shown: Vec<Value> =
            checks.iter().map(|check| json!({"name": check.name, "ok": check.ok, "detail": check.detail})).collect();
        say(format_args!("{:#}", json!({"verified": held, "checks": shown})));
    } else {
        for check in &checks {
            let mark = if check.ok { "✓" } else { "✗" };
            say(format_args!("{mark} {:12}  {}", check.name, check.detail));
        }
        say(if held { "verified" } else { "FAILED" });
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Runs the checks in their order and stops at the first that does not hold: nothing after it means anything.
async fn check(api: &Api, args: &VerifyArgs, checks: &mut Vec<Check>) -> Result<bool> {
    let mut hold = |name: &'static str, ok: bool, good: String, bad: &str| {
        checks.push(Check { name, ok, detail: if ok { good } else { bad.to_owned() } });
        ok
    };
    let seen = match &args.state {
        Some(path) if path.exists() => Some(read_state(path)?),
        _ => None,
    };
    let note = fetch(api, "/v1/audit/checkpoint").await?;
    let note = String::from_utf8(note).context("the checkpoint is no text; is --url a Chancery?")?;
    let keys = public_keys(api, "log").await?;
    let Some((key_id, head)) = signed(&note, &keys) else {
        hold("checkpoint", false, String::new(), "no log key of this tenant signed it");
        return Ok(false);
    };
    hold("checkpoint", true, format!("{}, {} events, signed by {key_id}", head.origin, head.size), "");
    let known = seen.as_ref().is_none_or(|seen| seen.key_id == key_id) || args.accept_key.as_ref() == Some(&key_id);
    let good =
        if seen.is_some() { "the one seen before" } else { "seen for the first time: compare it by another way" };
    let bad = "not the one seen before; if you know of its rotation, give its id to --accept-key";
    if !hold("key", known, good.to_owned(), bad) {
        return Ok(false);
    }

    let mut tiles = Tiles::default();
    let root = with_tiles(api, &mut tiles, |tiles| tiles.root(head.size)).await?;
    let bad = "the tiles do not give the signed root";
    if !hold("tree", root == Some(head.root), format!("{} events give the signed root", head.size), bad) {
        return Ok(false);
    }
    let mut before = seen.as_ref().map_or(0, |seen| seen.head.size);
    let mut leaves = Leaves::new(tiles);
    if let Some(seen) = &seen {
        let mut good = format!("only grew since it had {} events", seen.head.size);
        let mut bad = "it lost or changed events since the head that was seen before".to_owned();
        let mut held = grown(api, &mut leaves.tiles, seen, &head).await?;
        if !held && let Some((index, size)) = restored(api, &mut leaves, seen, &head).await? {
            let told =
                format!("its store was put back to {size} events, as its event {index} tells; {before} were seen");
            bad = format!("{told}. If you know of that, say --accept-restore");
            // What was seen before proves nothing of this history: all of it is looked at.
            (good, held, before) = (told, args.accept_restore, 0);
        }
        if !hold("consistency", held, good, &bad) {
            return Ok(false);
        }
    }

    let first = args.first.unwrap_or(before);
    let end = args.end.unwrap_or(head.size).min(head.size);
    let told = purges::told(api, &mut leaves, &head).await?;
    let events = Events::read(api, &mut leaves, &head, first, end, &told).await?;
    let good = format!("{} from {first} to {end}, each under the signed head", events.found.count());
    let bad = events.wrong.clone().unwrap_or_default();
    if !hold("events", events.wrong.is_none(), good, &bad) {
        return Ok(false);
    }
    let gaps = events.found.gaps(first, end);
    // Asked for again: one may have been ordered meanwhile.
    let purged = if gaps.is_empty() { Vec::new() } else { purges::told(api, &mut leaves, &head).await? };
    let purged: Vec<Range<u64>> = purged.into_iter().map(|purge| purge.places).collect();
    let (gone, missing) = places::explained(&gaps, &purged);
    let wrong = purges::wrong(&told, &events.left, first..end);
    if gone > 0 || wrong.is_some() {
        let good = format!("{gone} went when their time was over, as events of the log tell");
        if !hold("purged", wrong.is_none(), good, &wrong.clone().unwrap_or_default()) {
            return Ok(false);
        }
    }
    let bad =
        missing.map(|index| format!("the event at {index} is in the tree and was not given out")).unwrap_or_default();
    if !hold("complete", missing.is_none(), "none missing between".to_owned(), &bad) {
        return Ok(false);
    }
    // No failure: a number is not used again after a commit whose outcome nobody knows (ADR 0003).
    hold("counters", true, events.counters(), "");
    if let Some(path) = &args.state {
        // A head vouches for all before it: next time nothing of that is looked at again.
        let whole = first <= before && end == head.size;
        if whole {
            write_state(path, &keys, &key_id, &note, &head)?;
        }
        let kept = "not replaced: only a part was checked";
        hold("state", true, if whole { format!("{} events were seen", head.size) } else { kept.to_owned() }, "");
    }
    Ok(true)
}

/// What is at a path; none if there is nothing.
async fn existing(api: &Api, path: &str) -> Result<Option<Value>> {
    let (status, bytes) = api.exchange(Method::GET, path, None).await?;
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match status.as_u16() {
        200 => Ok(Some(answer)),
        404 | 422 => Ok(None),
        other => bail!("{}", crate::commands::client::explain(other, &answer)),
    }
}

/// The bytes at a path.
async fn fetch(api: &Api, path: &str) -> Result<Vec<u8>> {
    let (status, bytes) = api.exchange(Method::GET, path, None).await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        bail!("{}", crate::commands::client::explain(status.as_u16(), &problem));
    }
    Ok(bytes)
}

/// The public halves of the tenant's key for this use, as the server says.
async fn public_keys(api: &Api, managed: &str) -> Result<Vec<Jwk>> {
    let answer = api.get(&format!("/v1/keys?managed={managed}")).await?;
    let mut keys = Vec::new();
    for key in list(&answer, "items")? {
        for version in list(key, "versions")? {
            if let Some(jwk) = version.get("public_jwk").filter(|jwk| !jwk.is_null()) {
                keys.push(serde_json::from_value(jwk.clone()).context("a key is no JWK")?);
            }
        }
    }
    Ok(keys)
}

/// The head that a note tells of, and the id of the key that signed it.
fn signed(note: &str, keys: &[Jwk]) -> Option<(String, Checkpoint)> {
    let signed = SignedCheckpoint::parse(note).ok()?;
    let origin = signed.checkpoint().origin.clone();
    keys.iter().find_map(|jwk| {
        let verifier = VerifierKey::new(&origin, Ed25519PublicKey::try_from(jwk).ok()?).ok()?;
        let head = signed.verify(&verifier).ok()?.clone();
        (head.origin == origin).then(|| (jwk.thumbprint(), head))
    })
}

/// Whether the log is the one that was seen before, and more.
async fn grown(api: &Api, tiles: &mut Tiles, seen: &Seen, head: &Checkpoint) -> Result<bool> {
    let ((log, epoch), (log_now, epoch_now)) = (epoch_split(&seen.head.origin), epoch_split(&head.origin));
    if log != log_now || epoch > epoch_now || seen.head.size > head.size {
        return Ok(false);
    }
    let proof = with_tiles(api, tiles, |tiles| tiles.consistency_proof(seen.head.size, head.size)).await?;
    let grown = |proof: Vec<Hash>| {
        merkle::verify_consistency(seen.head.size, head.size, &seen.head.root, &head.root, &proof).is_ok()
    };
    Ok(proof.is_some_and(grown))
}

/// The first accepted restore since the head that was seen before, if an event under the signed head tells of one: its place,
/// and the size to which the log was put back.
async fn restored(api: &Api, leaves: &mut Leaves, seen: &Seen, head: &Checkpoint) -> Result<Option<(u64, u64)>> {
    let ((log, epoch), (log_now, epoch_now)) = (epoch_split(&seen.head.origin), epoch_split(&head.origin));
    if log != log_now || epoch >= epoch_now {
        return Ok(None);
    }
    let mut found = None;
    for (index, core) in events_on(api, leaves, head, EventKind::LogRestoreAccepted, log).await? {
        let number = |name: &str| core.pointer(&format!("/detail/{name}")).and_then(Value::as_u64);
        if let (Some(begun), Some(size)) = (number("epoch"), number("size"))
            && begun > epoch
            && found.is_none_or(|(first, _)| index < first)
        {
            found = Some((index, size));
        }
    }
    Ok(found)
}

/// The events of a kind on a resource that are under the signed head: each one's place, and what its leaf says.
async fn events_on(
    api: &Api,
    leaves: &mut Leaves,
    head: &Checkpoint,
    kind: EventKind,
    resource: &str,
) -> Result<Vec<(u64, Value)>> {
    let (mut found, mut to) = (Vec::new(), SystemClock.now().plus_seconds(3_600));
    for _ in 0..SPANS {
        let from = to.plus_seconds(-SPAN);
        let mut wanted = between(from, to);
        wanted.insert("type".to_owned(), kind.as_str().into());
        wanted.insert("resource".to_owned(), resource.into());
        let (items, _) = page(api, &wanted, PAGE, None).await?;
        for event in &items {
            found.extend(under_head(api, leaves, head, event).await?);
        }
        to = from;
    }
    Ok(found)
}

/// An event's place and what its leaf says, if that is under the signed head.
async fn under_head(api: &Api, leaves: &mut Leaves, head: &Checkpoint, event: &Value) -> Result<Option<(u64, Value)>> {
    let index = event.get("index").and_then(Value::as_u64).context("an event without an index")?;
    if index >= head.size || Events::default().take(api, leaves, head, index, event).await?.is_err() {
        return Ok(None);
    }
    let core = event.get("core").and_then(Value::as_str).unwrap_or_default();
    Ok(Some((index, serde_json::from_str(core).context("a leaf is no JSON")?)))
}

fn read_state(path: &Path) -> Result<Seen> {
    let unreadable = || format!("{} holds no state of this command", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let state: Value = serde_json::from_str(&text).with_context(unreadable)?;
    let jwk: Jwk = serde_json::from_value(state.get("key").cloned().unwrap_or_default()).with_context(unreadable)?;
    let note = state.get("checkpoint").and_then(Value::as_str).with_context(unreadable)?;
    let (key_id, head) = signed(note, &[jwk]).with_context(unreadable)?;
    Ok(Seen { key_id, head })
}

/// Replaced as a whole: a crash leaves the old one or the new one.
fn write_state(path: &Path, keys: &[Jwk], key_id: &str, note: &str, head: &Checkpoint) -> Result<()> {
    let key = keys.iter().find(|jwk| jwk.thumbprint() == key_id);
    let state = json!({"origin": head.origin, "size": head.size, "key": key, "checkpoint": note});
    let draft = path.with_extension("draft");
    let unwritable = || format!("cannot write {}", path.display());
    fs::write(&draft, format!("{state:#}\n")).with_context(unwritable)?;
    fs::File::open(&draft).and_then(|file| file.sync_all()).with_context(unwritable)?;
    fs::rename(&draft, path).with_context(unwritable)
}
