//! Where a guarded client may go.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    entry::Entry,
    findings::Findings,
    path,
    source::Settings,
    text::{self, subject},
};
use crate::guarded::{Pin, Reach, tls_host};

/// The settings `private_networks`, `ca_file` and `pins` of a section. `plain` is development's.
pub(super) fn read(settings: &Settings, section: &str, plain: bool, findings: &mut Findings) -> Reach {
    let key = |name: &str| format!("{section}.{name}");
    let ca_file = path(settings, &key("ca_file"));
    let pins = match pins(&text::words(settings, &key("pins")), ca_file.is_some()) {
        Ok(pins) => pins,
        Err(Fault { problem, cure }) => {
            let origin = settings.find(&key("pins")).map_or("default", |setting| setting.origin.as_str());
            findings.fault(subject(&key("pins"), origin), problem, cure);
            Vec::new()
        }
    };
    let private_networks = text::networks(settings, &key("private_networks"), findings);
    Reach { plain, inside: false, proxied: false, private_networks, ca_file, pins }
}

/// The values `ca_file` and `pins` of an entry that asks at `url`, if it asks anywhere.
pub(super) fn of_entry(entry: &mut Entry<'_>, url: Option<&str>) -> (Option<PathBuf>, Vec<Pin>) {
    let ca_file = entry.path("ca_file");
    let words = entry.words("pins");
    let hosts: Vec<String> = url.and_then(tls_host).into_iter().collect();
    let pins = pins(&words, ca_file.is_some())
        .and_then(|pins| if are_asked(&pins, &hosts) { Ok(pins) } else { Err(NOT_ASKED) })
        .unwrap_or_else(|Fault { problem, cure }| {
            entry.fault("pins", problem, cure);
            Vec::new()
        });
    (ca_file, pins)
}

/// What is wrong with pins, and what to do about it.
pub(super) struct Fault {
    pub(super) problem: &'static str,
    pub(super) cure: &'static str,
}

pub(super) const NO_PINS: &str = "is no list of hosts and digests of their keys";
pub(super) const NO_SPARE: Fault = Fault {
    problem: "pins a host to one key alone",
    cure: "name two keys of each host at least: the one in use, and a spare that is kept elsewhere",
};

pub(super) const NOT_ASKED: Fault = Fault {
    problem: "pins a host that no address with https:// here has",
    cure: "correct the host's name as the address has it, or take the pin out",
};

fn pins(words: &[String], authorities: bool) -> Result<Vec<Pin>, Fault> {
    let pins = parsed(words).ok_or(Fault {
        problem: NO_PINS,
        cure: "write it as [\"app.example sha256/BASE64\", \"app.example sha256/BASE64\"]",
    })?;
    if !pins.is_empty() && !authorities {
        let cure = "set ca_file beside it too: the authorities that vouch for the pinned hosts";
        return Err(Fault { problem: "needs a file with authorities", cure });
    }
    if lacks_a_spare(&pins) { Err(NO_SPARE) } else { Ok(pins) }
}

/// The pins that words name; `None` if one of them names none.
pub(super) fn parsed(words: &[String]) -> Option<Vec<Pin>> {
    words.iter().map(|word| word.parse().ok()).collect()
}

/// Whether each pin is of one of these hosts. Another one would be believed in and do nothing.
pub(super) fn are_asked(pins: &[Pin], hosts: &[String]) -> bool {
    pins.iter().all(|pin| hosts.contains(&pin.host))
}

/// Whether a host has one key alone: when that is lost, nobody could reach it any more.
pub(super) fn lacks_a_spare(pins: &[Pin]) -> bool {
    let mut counts = BTreeMap::new();
    for pin in pins {
        *counts.entry(pin.host.as_str()).or_insert(0) += 1;
    }
    counts.values().any(|count| *count < 2)
}
