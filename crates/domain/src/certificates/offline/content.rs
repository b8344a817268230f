//! What a pack holds: any number of events under one proof, certificates among them, and what became of these.

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::{
    checkpoint::Checkpoint,
    commitment,
    merkle::{self, Hash},
    runs::{self, Run},
};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::{
    Examination, Outcome, PackVerdict,
    certificate::{Logged, Told},
    statement::{moment, object},
};
use crate::{certificates::zip::Files, ids::EventId, keyring::DeclaredKey};

const SCOPES: [&str; 4] = ["certificates", "events", "range", "subject"];

/// The events of a pack: where they lie in the log, and what of them is asked for afterwards.
struct Events {
    /// What was told of certificates: each told thing's first event.
    told: Told,
    /// The completeness counter of every event, by index; `None` where it has none.
    counters: Vec<(u64, Option<Counter>)>,
}

/// Node, start of that node, number.
pub(in crate::certificates) type Counter = (String, String, u64);

impl Examination {
    pub(super) fn content(
        &mut self,
        manifest: &Map<String, Value>,
        files: &Files,
        keys: &[DeclaredKey],
        head: &Checkpoint,
    ) -> Outcome<()> {
        let scope = manifest.get("scope").unwrap_or(&Value::Null);
        let kind = SCOPES
            .into_iter()
            .find(|kind| scope.as_object().is_some_and(|scope| scope.len() == 1 && scope.contains_key(*kind)));
        let unknown = "a scope of an unknown kind";
        let kind = self.note("scope_kind", kind, |kind| (*kind).to_owned(), unknown, PackVerdict::Unsupported)?;
        let lines = files.get("log/entries.jsonl").and_then(|bytes| lines(bytes));
        let good = format!("{} events", lines.as_ref().map_or(0, Vec::len));
        let lines = self.check("entries", lines, good, "the events are missing or not lines")?;
        let proof = files.get("log/proof.json").and_then(|bytes| proof(bytes));
        let good = format!("{} hashes", proof.as_ref().map_or(0, |(_, given)| given.len()));
        let (runs, given) = self.check("proof", proof, good, "missing or malformed")?;
        let leaves = lines.iter().map(|line| merkle::leaf_hash(line));
        let whole = runs::root(head.size, &runs, leaves, &given).is_ok_and(|root| root == head.root).then_some(());
        let good = format!("{} of {} events", lines.len(), head.size);
        self.check("inclusion", whole, good, "the events are not under the checkpoint")?;
        let events = read(&runs, &lines);
        let events = self.check("events", events, "canonical JSON", "an event is not canonical JSON")?;
        if kind == "range" {
            self.range(manifest, scope, &runs, &events.counters)?;
        }
        if kind == "events" {
            let named = are_named(scope, &lines).then_some(());
            let good = format!("{} named", lines.len());
            self.check("named_events", named, good, "not exactly the events that it is about")?;
        }
        self.disclosures(files, &lines)?;
        let ids = certificates(manifest, scope, kind);
        let good = format!("{} named", ids.as_ref().map_or(0, Vec::len));
        let ids = self.check("certificate_list", ids, good, "not in order")?;
        for id in &ids {
            let envelope = files.get(&format!("certs/{id}.dsse.json")).map_or(&[][..], Vec::as_slice);
            let logged = Logged { manifest, keys, told: &events.told };
            let (state, detail) = self.certificate(id, envelope, &logged)?;
            let said = manifest.get("certificates").and_then(|all| all.get(id)).and_then(Value::as_str);
            let held = said == Some(state.as_str()) && (state.is_valid() || kind != "certificates");
            let detail = format!("{id}: {state}; {detail}");
            let bad = format!("{detail}; said to be {}", said.unwrap_or_default());
            self.check("certificate", held.then_some(()), detail, &bad)?;
            if state.is_valid() {
                self.certificates.push(id.clone());
            }
        }
        Ok(())
    }

    /// Each text that is shown beside an event is what the leaf of that event commits to.
    fn disclosures(&mut self, files: &Files, lines: &[&[u8]]) -> Outcome<()> {
        let shown = files.iter().filter_map(|(path, data)| Some((path.strip_prefix("disclosures/")?, data.as_slice())));
        let shown: BTreeMap<&str, &[u8]> = shown.collect();
        if shown.is_empty() {
            return Ok(());
        }
        let texts = disclosed(&shown, lines);
        let good = format!("{} texts of {} events", texts.unwrap_or_default(), shown.len());
        self.check("disclosures", texts, good, "a text is not what its event commits to").map(drop)
    }

    /// Every event of the range is here, and the counters leave out what the manifest says they leave out.
    fn range(
        &mut self,
        manifest: &Map<String, Value>,
        scope: &Value,
        runs: &[Run],
        counters: &[(u64, Option<Counter>)],
    ) -> Outcome<()> {
        let span = scope.get("range").and_then(|range| span(range, runs));
        let text = |name: &str| scope.pointer(&format!("/range/{name}")).and_then(Value::as_str).unwrap_or_default();
        let good = span.map_or_else(String::new, |(start, end)| {
            format!("recorded from {} to {}: indexes {start} to {}", text("from"), text("to"), end - 1)
        });
        let (start, end) = self.check("range", span, good, "not every event of its range is here")?;
        let inside = counters.iter().filter(|(index, _)| (start..end).contains(index));
        let found = inside.map(|(_, counter)| counter.clone()).collect::<Option<Vec<_>>>().map(gaps);
        let same = found.filter(|found| manifest.get("completeness") == Some(found));
        let good = same.as_ref().map_or_else(String::new, |found| {
            let gaps = found.get("gaps").and_then(Value::as_array).map_or(0, Vec::len);
            format!("{gaps} gaps across {} nodes", found.get("nodes").unwrap_or(&Value::Null))
        });
        self.check("completeness", same, good, "the counters of the events and the manifest differ").map(drop)
    }
}

/// Lines without their ends; the last one has one too.
fn lines(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    Some(bytes.strip_suffix(b"\n")?.split(|byte| *byte == b'\n').collect())
}

/// Where entries lie in a log, and the hashes beside them.
pub(super) fn proof(bytes: &[u8]) -> Option<(Vec<Run>, Vec<Hash>)> {
    let proof = object(bytes)?;
    (proof.len() == 3 && proof.get("v")?.as_u64()? == 1).then_some(())?;
    let run = |run: &Value| match run.as_array()?.as_slice() {
        [start, end] => Some((start.as_u64()?, end.as_u64()?)).filter(|(start, end)| start < end),
        _ => None,
    };
    let hash = |hash: &Value| HEXLOWER.decode(hash.as_str()?.as_bytes()).ok()?.try_into().ok();
    let runs = proof.get("runs")?.as_array()?.iter().map(run).collect::<Option<Vec<_>>>()?;
    let hashes = proof.get("hashes")?.as_array()?.iter().map(hash).collect::<Option<Vec<_>>>()?;
    Some((runs, hashes))
}

/// Reads the events one by one: of a hundred thousand only what is asked for is kept.
fn read(runs: &[Run], lines: &[&[u8]]) -> Option<Events> {
    let mut events = Events { told: Told::new(), counters: Vec::with_capacity(lines.len()) };
    for (index, line) in runs.iter().flat_map(|(start, end)| *start..*end).zip(lines) {
        let event = object(line)?;
        events.counters.push((index, counter(&event)));
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        if !kind.starts_with("certificate.") {
            continue;
        }
        let Some(id) = event.get("resource").and_then(|resource| resource.get("id")).and_then(Value::as_str) else {
            continue;
        };
        events.told.entry((kind.to_owned(), id.to_owned())).or_insert((index, Value::Object(event)));
    }
    Some(events)
}

/// Whether these events are those that the scope names, each once.
fn are_named(scope: &Value, lines: &[&[u8]]) -> bool {
    let id = |line: &&[u8]| {
        let event = object(line)?;
        let id = event.get("event_id")?.as_str()?;
        id.parse::<EventId>().is_ok().then(|| id.to_owned())
    };
    let ids: Option<BTreeSet<String>> = lines.iter().map(id).collect();
    ids.is_some_and(|ids| ids.len() == lines.len() && scope.get("events") == Some(&json!(ids)))
}

/// How many texts are shown, if each is what its event commits to; by file in `disclosures/`.
fn disclosed(shown: &BTreeMap<&str, &[u8]>, lines: &[&[u8]]) -> Option<usize> {
    let (mut events, mut texts) = (0, 0);
    for line in lines {
        let event = object(line)?;
        let Some(id) = event.get("event_id").and_then(Value::as_str) else { continue };
        let Some(file) = shown.get(format!("{id}.json").as_str()) else { continue };
        events += 1;
        for (name, text) in object(file)? {
            let text = text.as_object().filter(|text| text.len() == 2)?;
            let salt: [u8; 32] = HEXLOWER.decode(text.get("salt")?.as_str()?.as_bytes()).ok()?.try_into().ok()?;
            let committed = commitment(&salt, &name, text.get("value")?.as_str()?.as_bytes());
            let said = event.get("sealed")?.get(&name)?.as_str()?;
            (said == HEXLOWER.encode(&committed)).then_some(())?;
            texts += 1;
        }
    }
    (events == shown.len()).then_some(texts)
}

/// The completeness counter of an event.
pub(in crate::certificates) fn counter(event: &Map<String, Value>) -> Option<Counter> {
    let node = event.get("node")?;
    Some((node.get("id")?.as_str()?.to_owned(), node.get("boot")?.as_str()?.to_owned(), node.get("ctr")?.as_u64()?))
}

/// Where the counters of a node's start leave a number out: what a manifest says under `completeness`.
pub(in crate::certificates) fn gaps(counters: Vec<Counter>) -> Value {
    let mut starts: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for (node, boot, number) in counters {
        starts.entry((node, boot)).or_default().push(number);
    }
    let mut gaps = Vec::new();
    for ((node, boot), numbers) in &mut starts {
        numbers.sort_unstable();
        gaps.extend(numbers.windows(2).filter_map(|pair| match pair {
            [after, before] if *before > after.saturating_add(1) => {
                Some(json!({"node": node, "boot": boot, "after": after, "before": before}))
            }
            _ => None,
        }));
    }
    json!({"nodes": starts.len(), "gaps": gaps})
}

/// The indexes that the pack is about; every event between them is in one of the runs.
fn span(range: &Value, runs: &[Run]) -> Option<Run> {
    let (from, to) = (moment(range.get("from")?)?, moment(range.get("to")?)?);
    let (start, end) = match range.get("indexes")?.as_array()?.as_slice() {
        [start, end] => (start.as_u64()?, end.as_u64()?),
        _ => return None,
    };
    let inside = runs.iter().any(|(a, b)| *a <= start && start < end && end <= *b);
    (from < to && inside).then_some((start, end))
}

/// The certificates that the manifest names; a pack of certificates holds exactly those that it is about.
fn certificates(manifest: &Map<String, Value>, scope: &Value, kind: &str) -> Option<Vec<String>> {
    let all = manifest.get("certificates")?.as_object()?;
    let known = |state: &Value| state.as_str().is_some_and(|state| state.parse::<super::State>().is_ok());
    let ids: BTreeSet<String> = all.keys().cloned().collect();
    let wanted = kind != "certificates" || (!ids.is_empty() && scope.get(kind) == Some(&json!(ids)));
    (wanted && all.values().all(known)).then(|| ids.into_iter().collect())
}
