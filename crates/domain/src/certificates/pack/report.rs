//! What a pack holds, for people: one page without scripts. Nothing rests on it.

use std::{collections::BTreeMap, fmt::Write as _};

use chancery_crypto::dsse::Envelope;
use serde_json::Value;

use super::{PackScope, events, files::Pack, gather::Standing};
use crate::{certificates::offline::State, keyring::PlatformRotation};

/// Certificates that the page lists; the manifest names all of them.
const SHOWN: usize = 1_000;

/// Why a text is not shown that was to be.
const GONE: &str = "it was purged, its key was destroyed, or it is damaged";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{border-top:1px solid #ccc;padding:.25rem .5rem;text-align:left;\
vertical-align:top;overflow-wrap:anywhere}";

pub(super) fn html(
    pack: &Pack<'_>,
    states: &[(&str, &Standing, State, String)],
    completeness: Option<&Value>,
) -> String {
    let mut page = String::new();
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    let _ = writeln!(page, "<title>Audit pack</title>\n<style>{STYLE}</style>\n<h1>Audit pack</h1>");
    page.push_str(
        "<p>This page is for reading. What it says is worth as much as the pack's signatures: check them with \
<code>chancery verify</code>, <code>verify_pack.py</code> or <code>verify.html</code> (see README.txt).</p>\n<table>\n",
    );
    let row = |page: &mut String, name: &str, value: &str| {
        let _ = writeln!(page, "<tr><th>{name}<td>{}", escaped(value));
    };
    row(&mut page, "Instance", &pack.instance.settings().name);
    row(&mut page, "Tenant", &pack.tenant.to_string());
    row(&mut page, "Log", pack.origin);
    let as_of = format!("{} events, signed {}", pack.checkpoint.size, pack.checkpoint.signed_at);
    row(&mut page, "As of", &as_of);
    row(&mut page, "About", &about(pack.scope));
    row(&mut page, "Events", &pack.held.events.len().to_string());
    if pack.scope.discloses() {
        let shown = format!("what {} of them say in confidence, in disclosures/", pack.disclosed.len());
        row(&mut page, "Disclosed", &shown);
        let cores = pack.held.events.values().map(String::as_bytes);
        for id in events::closed(cores, |id| pack.disclosed.contains_key(&id)) {
            row(&mut page, "Not disclosed", &format!("what {id} says in confidence: {GONE}"));
        }
    }
    if let Some(found) = completeness {
        let gaps = found.get("gaps").and_then(Value::as_array).map_or(0, Vec::len);
        let nodes = found.get("nodes").and_then(Value::as_u64).unwrap_or_default();
        row(&mut page, "Completeness", &format!("{gaps} gaps across {nodes} starts of nodes"));
    }
    let _ = writeln!(page, "</table>\n<h2>Certificates: {}</h2>", states.len());
    page.push_str("<table>\n<tr><th>Certificate<th>Kind<th>Issued<th>Event<th>State\n");
    for (id, standing, state, why) in states.iter().take(SHOWN) {
        let certificate = &standing.certificate;
        let (id, kind) = (escaped(id), escaped(&certificate.kind));
        let (issued, index, why) = (certificate.issued_at, standing.index, escaped(why));
        let _ = writeln!(page, "<tr><td>{id}<td>{kind}<td>{issued}<td>{index}<td>{state}: {why}");
    }
    page.push_str("</table>\n");
    if states.len() > SHOWN {
        let _ = writeln!(page, "<p>The first {SHOWN}; MANIFEST.json names all of them.</p>");
    }
    match pack.scope {
        PackScope::Range { .. } if pack.tenant.is_platform() => rotations_of_platform(&mut page, &pack.held.events),
        PackScope::Range { .. } => rotations(&mut page, states),
        PackScope::Certificates(_) | PackScope::Events { .. } | PackScope::Subject { .. } => {}
    }
    page
}

/// The rotations of the platform's own keys that were completed in a span of time. It has no certificates: what tells of each is the
/// event, which the pack proves.
fn rotations_of_platform(page: &mut String, events: &BTreeMap<u64, String>) {
    let told = events.iter().filter_map(|(index, core)| {
        let core: Value = serde_json::from_str(core).ok()?;
        let text = |name: &str| escaped(core.get(name).and_then(Value::as_str).unwrap_or_default());
        let PlatformRotation { key, managed, retired_version } = PlatformRotation::told_by(&core)?;
        let (key, managed, when, id) = (escaped(&key), escaped(&managed), text("recorded_at"), text("event_id"));
        Some(format!("<tr><td>{key}<td>{managed}<td>{retired_version}<td>{when}<td>{index}<td>{id}\n"))
    });
    let told: Vec<String> = told.collect();
    let _ = writeln!(page, "<h2>Rotations of keys: {}</h2>", told.len());
    page.push_str("<table>\n<tr><th>Key<th>Use<th>Retired version<th>When<th>Place<th>Event\n");
    page.extend(told);
    page.push_str("</table>\n");
}

/// The rotations of keys that were completed in a span of time, each with the certificate that states it (MO-10).
fn rotations(page: &mut String, states: &[(&str, &Standing, State, String)]) {
    let stated: Vec<_> =
        states.iter().filter(|(_, standing, ..)| standing.certificate.kind == "key-rotation").collect();
    let _ = writeln!(page, "<h2>Rotations of keys: {}</h2>", stated.len());
    page.push_str("<table>\n<tr><th>Key<th>Type<th>Use<th>Retired version<th>When<th>Certificate<th>State\n");
    for (id, standing, state, _) in stated {
        let payload = Envelope::from_json(&standing.certificate.envelope).ok();
        let said = payload.and_then(|envelope| serde_json::from_slice::<Value>(&envelope.payload).ok());
        let text = |pointer: &str| match said.as_ref().and_then(|said| said.pointer(pointer)) {
            Some(Value::String(text)) => escaped(text),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let [key, key_type, managed, version] =
            ["key", "key_type", "managed", "retired_version"].map(|name| text(&format!("/statement/params/{name}")));
        let (when, id) = (text("/occurred_at"), escaped(id));
        let _ = writeln!(page, "<tr><td>{key}<td>{key_type}<td>{managed}<td>{version}<td>{when}<td>{id}<td>{state}");
    }
    page.push_str("</table>\n");
}

fn about(scope: &PackScope) -> String {
    match scope {
        PackScope::Certificates(ids) => format!("{} certificates by their ids", ids.len()),
        PackScope::Events { ids, .. } => format!("{} events by their ids", ids.len()),
        PackScope::Range { from, to } => format!("every event recorded from {from} to {to}"),
        PackScope::Subject { kind, .. } => format!("the certificates found about one {kind}"),
    }
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        assert_eq!(escaped("<script>\"&'\"</script>"), "&lt;script&gt;&quot;&amp;&#39;&quot;&lt;/script&gt;");
    }
}
