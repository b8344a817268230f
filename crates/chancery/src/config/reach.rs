//! Where a guarded client may go.

use std::collections::BTreeMap;

use super::{
    findings::Findings,
    path,
    source::Settings,
    text::{self, subject},
};
use crate::guarded::{Pin, Reach};

/// The settings `private_networks`, `ca_file` and `pins` of a section. `plain` is development's.
pub(super) fn read(settings: &Settings, section: &str, plain: bool, findings: &mut Findings) -> Reach {
    let key = |name: &str| format!("{section}.{name}");
    let ca_file = path(settings, &key("ca_file"));
    let pins = pins(settings, &key("pins"), findings);
    if !pins.is_empty() && ca_file.is_none() {
        let cure = format!("set {} too: the authorities that vouch for the pinned hosts", key("ca_file"));
        findings.fault(key("pins"), "needs a file with authorities", cure);
    }
    Reach { plain, private_networks: text::networks(settings, &key("private_networks"), findings), ca_file, pins }
}

fn pins(settings: &Settings, key: &str, findings: &mut Findings) -> Vec<Pin> {
    let Some(setting) = settings.find(key) else { return Vec::new() };
    let parsed: Result<Vec<Pin>, _> = text::words(settings, key).iter().map(|word| word.parse()).collect();
    let Ok(pins) = parsed else {
        let cure = "write it as [\"app.example sha256/BASE64\", \"app.example sha256/BASE64\"]";
        findings.fault(subject(key, &setting.origin), "is no list of hosts and digests of their keys", cure);
        return Vec::new();
    };
    let mut counts = BTreeMap::new();
    for pin in &pins {
        *counts.entry(pin.host.as_str()).or_insert(0) += 1;
    }
    if counts.values().any(|count| *count < 2) {
        let cure = "name two keys of each host at least: the one in use, and a spare that is kept elsewhere";
        findings.fault(subject(key, &setting.origin), "pins a host to one key alone", cure);
    }
    pins
}
