//! What an older application sealed with Fernet.

use chancery_sealed::{OpenError, Sealed, SealedJson, Sealer, SealerError};
use serde_json::json;

use crate::places::{Metadata, Note, Visits, sealer};

/// From the Fernet specification: `hello`.
const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
pub(crate) const TOKEN: &str =
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
/// Another key, tried first.
const NEWER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) fn with_legacy_keys() -> (tempfile::TempDir, Sealer) {
    let (folder, sealer) = sealer();
    (folder, sealer.with_legacy_keys([NEWER, KEY]).unwrap())
}

#[test]
fn a_legacy_value_opens_with_its_key_and_is_renewed() {
    let (_folder, sealer) = with_legacy_keys();
    let opener = sealer.unaudited("a test");
    let old = Sealed::<Note>::from_text(TOKEN).unwrap();
    assert!(old.is_legacy());
    assert_eq!(old.open(&opener, 1).unwrap().expose(), "hello");

    let new = old.renewed(&opener, 1).unwrap().unwrap();
    assert!(!new.is_legacy() && new.to_text().starts_with("chy1."));
    assert_eq!(new.open(&opener, 1).unwrap().expose(), "hello");
}

#[test]
fn a_legacy_value_that_was_changed_or_has_no_key_stays_closed() {
    let (_folder, sealer) = with_legacy_keys();
    let opener = sealer.unaudited("a test");
    let mut changed = TOKEN.to_owned();
    changed.replace_range(30..31, if &TOKEN[30..31] == "A" { "B" } else { "A" });
    let open = |text: &str| Sealed::<Note>::from_text(text).unwrap().open(&opener, 1);
    assert!(matches!(open(&changed), Err(OpenError::Legacy(_))));
    assert!(matches!(open("gAAAAA"), Err(OpenError::Legacy(_))));

    let (_folder, keyless) = crate::places::sealer();
    let refused = Sealed::<Note>::from_text(TOKEN).unwrap().open(&keyless.unaudited("a test"), 1);
    assert!(matches!(refused, Err(OpenError::Legacy(_))));
}

#[test]
fn a_legacy_value_of_another_type_is_not_renewed() {
    let (_folder, sealer) = with_legacy_keys();
    let opener = sealer.unaudited("a test");
    let old = Sealed::<Visits>::from_text(TOKEN).unwrap();
    assert!(matches!(old.open(&opener, 1), Err(OpenError::WrongType(_))));
    assert!(old.renewed(&opener, 1).is_err());
}

#[test]
fn legacy_members_of_a_document_are_renewed_as_text() {
    let (_folder, sealer) = with_legacy_keys();
    let opener = sealer.unaudited("a test");
    let old = SealedJson::<Metadata>::from_stored(json!({"tax_id": TOKEN, "plan": "gold"})).unwrap();
    let new = old.renewed(&opener, 1).unwrap().unwrap();
    assert!(new.as_stored()["tax_id"].as_str().unwrap().starts_with("chy1."));
    assert_eq!(new.open(&opener, 1).unwrap().as_value(), &json!({"tax_id": "hello", "plan": "gold"}));
}

#[test]
fn a_legacy_key_of_another_shape_is_refused() {
    let (_folder, sealer) = sealer();
    assert!(matches!(sealer.with_legacy_keys(["short"]), Err(SealerError::LegacyKey)));
}

#[test]
fn what_python_sealed_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/legacy/fernet.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (_folder, sealer) = sealer();
    let keys = vectors["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
    let sealer = sealer.with_legacy_keys(keys).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 3);
    for case in cases {
        let old = Sealed::<Note>::from_text(case["token"].as_str().unwrap()).unwrap();
        assert_eq!(old.open(&sealer.unaudited("a test"), 1).unwrap().expose(), case["plaintext"].as_str().unwrap());
    }
}
