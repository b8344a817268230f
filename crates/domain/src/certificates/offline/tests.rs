use std::{fs, path::PathBuf};

use serde_json::Value;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/packs")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_pack_of_the_corpus_gets_the_verdict_that_is_wanted() {
    let cases: Vec<Value> = serde_json::from_slice(&file("cases.json")).unwrap();
    assert!(cases.len() > 100, "only {} packs", cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let trust = file(case["trust"].as_str().unwrap_or("trust.json"));
        let newer = case["checkpoint"].as_str().map(file);
        let report = verify_pack(&file(&format!("{name}.zip")), &trust, newer.as_deref());
        let failed = report.checks.iter().find(|check| !check.ok).map(|check| check.name);
        assert_eq!(report.verdict.as_str(), case["verdict"].as_str().unwrap(), "{name}: {:?}", report.checks.last());
        assert_eq!(failed, case["fails"].as_str(), "{name}: {:?}", report.checks.last());
    }
}

#[test]
fn every_changed_byte_of_a_pack_is_refused() {
    let (good, trust) = (file("one-certificate.zip"), file("trust.json"));
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1 << (place % 8);
        let verdict = verify_pack(&changed, &trust, None).verdict;
        assert!(matches!(verdict, PackVerdict::Failed | PackVerdict::Unsupported), "byte {place}: {verdict}");
    }
    for place in (0..good.len()).step_by(97) {
        let shorter = [&good[..place], &good[place + 1..]].concat();
        let longer = [&good[..place], &[0], &good[place..]].concat();
        assert_eq!(verify_pack(&shorter, &trust, None).verdict, PackVerdict::Failed, "without byte {place}");
        assert_eq!(verify_pack(&longer, &trust, None).verdict, PackVerdict::Failed, "with a byte at {place}");
    }
}
