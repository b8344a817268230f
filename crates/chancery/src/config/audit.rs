//! How the audit log is guarded.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use chancery_crypto::cosignature::CosignerKey;
use reqwest::Url;

use super::{
    archives::{self, ArchiveConfig},
    findings::Findings,
    path,
    source::Settings,
    text::{self, subject},
};

/// How the audit log is guarded.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// The folder that keeps the last signed head of each log, apart from the store.
    pub pin_folder: PathBuf,
    /// Whether that folder was named; then it has to be there.
    pub pin_folder_named: bool,
    /// The folder that closed months are archived in, if any.
    pub archive_folder: Option<PathBuf>,
    /// The buckets that they are archived in as well.
    pub archives: Vec<ArchiveConfig>,
    /// How many stored rows are looked at again in a minute.
    pub scrub_rows_per_minute: u64,
    /// Who witnesses the platform's log.
    pub witnesses: Vec<WitnessConfig>,
    /// How many of them it takes.
    pub witness_quorum: u32,
    /// Whether the server is not ready once they are silent for too long.
    pub witness_strict: bool,
    /// For how many seconds they may be.
    pub witness_max_age_seconds: u64,
}

/// One witness.
#[derive(Debug, Clone)]
pub struct WitnessConfig {
    /// Its name and key.
    pub key: CosignerKey,
    /// What comes before `/add-checkpoint`.
    pub url: String,
}

/// The settings under `audit`.
pub(super) fn read(settings: &Settings, data_dir: &Path, findings: &mut Findings) -> AuditConfig {
    let named = path(settings, "audit.pin_folder");
    let witnesses = witnesses(settings, findings);
    let all = u32::try_from(witnesses.len()).unwrap_or(u32::MAX);
    AuditConfig {
        pin_folder_named: named.is_some(),
        pin_folder: named.unwrap_or_else(|| data_dir.join("pins")),
        archive_folder: path(settings, "audit.archive_folder"),
        archives: archives::read(&settings.tables(archives::LIST), findings),
        scrub_rows_per_minute: text::number(
            settings,
            "audit.scrub_rows_per_minute",
            20_000,
            100..=10_000_000,
            findings,
        ),
        // More than half, if nothing is said.
        witness_quorum: text::number(settings, "audit.witness_quorum", all / 2 + 1, 1..=all.max(1), findings),
        witness_strict: text::flag(settings, "audit.witness_strict", findings),
        witness_max_age_seconds: text::number(
            settings,
            "audit.witness_max_age_seconds",
            900,
            120..=30 * 24 * 60 * 60,
            findings,
        ),
        witnesses,
    }
}

fn witnesses(settings: &Settings, findings: &mut Findings) -> Vec<WitnessConfig> {
    let key = "audit.witnesses";
    let mut names = BTreeSet::new();
    let mut witnesses = Vec::new();
    for word in text::words(settings, key) {
        match witness(&word).filter(|witness| names.insert(witness.key.name().to_owned())) {
            Some(witness) => witnesses.push(witness),
            None => {
                let origin = settings.find(key).map_or("default", |setting| setting.origin.as_str());
                let cure = "write [\"NAME+HASH+KEY https://witness.example/prefix\"], each name once; `chancery witness --show-key` \
                            prints the first word";
                findings.fault(subject(key, origin), "names something that is no witness", cure);
            }
        }
    }
    witnesses
}

fn witness(word: &str) -> Option<WitnessConfig> {
    let (key, url) = word.split_once(' ')?;
    let url = url.trim().trim_end_matches('/');
    let parsed = Url::parse(url).ok()?;
    let plain = matches!(parsed.scheme(), "https" | "http") && parsed.query().is_none() && parsed.fragment().is_none();
    let key = CosignerKey::from_text(key).ok()?;
    (plain && parsed.host().is_some()).then(|| WitnessConfig { key, url: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Ed25519SigningKey;

    use super::*;

    fn key(name: &str) -> String {
        CosignerKey::new(name, Ed25519SigningKey::from_seed(&[4; 32]).unwrap().public()).unwrap().to_text()
    }

    #[test]
    fn a_witness_is_a_key_and_an_address() {
        let good = witness(&format!("{} https://w.example/one/", key("w.example/1"))).unwrap();
        assert_eq!((good.key.name(), good.url.as_str()), ("w.example/1", "https://w.example/one"));
        for bad in [
            key("w.example/1"),
            format!("{} ftp://w.example", key("w")),
            format!("{} https://w.example?x=1", key("w")),
            format!("{}x https://w.example", key("w")),
            "https://w.example".to_owned(),
            String::new(),
        ] {
            assert!(witness(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn more_than_half_are_a_quorum_and_a_name_counts_once() {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        let list = ["a", "b", "c", "d"].map(|name| format!("{} http://127.0.0.1:9", key(name)));
        settings.set("audit.witnesses", list.join(","), "test");
        let config = read(&settings, Path::new("/data"), &mut findings);
        assert_eq!((config.witnesses.len(), config.witness_quorum), (4, 3));
        assert_eq!(config.pin_folder, Path::new("/data/pins"));
        assert!(findings.faults.is_empty());
        settings.set("audit.witness_quorum", "5", "test");
        read(&settings, Path::new("/data"), &mut findings);
        settings.set("audit.witnesses", [list[0].as_str(), list[0].as_str()].join(","), "test");
        settings.set("audit.witness_quorum", "1", "test");
        assert_eq!(read(&settings, Path::new("/data"), &mut findings).witnesses.len(), 1);
        assert_eq!(findings.faults.len(), 2);
    }
}
