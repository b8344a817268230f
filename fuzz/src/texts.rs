//! Canonical JSON, documents with sealed members, envelopes and checkpoints.

use std::sync::LazyLock;

use chancery_crypto::{
    Ed25519SigningKey, canonical,
    checkpoint::{Checkpoint, SignedCheckpoint},
    cosignature::{AddCheckpoint, CosignerKey},
    dsse,
};
use chancery_sealed::{Fields, Sealer};
use serde_json::Value;

/// Canonical JSON: one value, one spelling.
pub(crate) fn canonical(data: &[u8]) {
    if let Ok(value) = canonical::parse(data) {
        assert_eq!(canonical::to_vec(&value).unwrap(), data, "two spellings of one value");
    }
    if let Ok(value) = serde_json::from_slice::<Value>(data)
        && let Ok(bytes) = canonical::to_vec(&value)
    {
        assert_eq!(canonical::parse(&bytes).unwrap(), value);
    }
}

pub(crate) fn canonical_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"a":[1,-1,"\u001f",true,null],"b":{"c":"ë"}}"#,
        r#"{ "b": 1e3, "a": 9007199254740991 }"#,
        r#"["\ud83d\ude00"]"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    Sealer::create(folder.path().join("fuzz.key")).unwrap()
});

/// A document: JSON pointers, one a line, an empty line, then JSON. What is sealed opens to what it was; and a document
/// that claims to be sealed opens nothing.
pub(crate) fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pointers, json)) = text.split_once("\n\n") else { return };
    let Ok(fields) = Fields::new("p", "c", pointers.lines().take(8)) else { return };
    let Ok(before) = serde_json::from_str::<Value>(json) else { return };
    let opener = SEALER.unaudited("fuzzing");
    let mut document = before.clone();
    match fields.seal(&SEALER, 1, &mut document) {
        Ok(()) => {
            for pointer in pointers.lines().take(8) {
                let sealed = document.pointer(pointer).is_none_or(|value| {
                    value.is_null() || value.as_str().is_some_and(|text| text.starts_with("chy1."))
                });
                assert!(sealed, "`{pointer}` stayed in the clear");
            }
            fields.open(&opener, 1, &mut document).unwrap();
            assert_eq!(document, before);
        }
        Err(_) => assert_eq!(document, before, "a refused document was changed"),
    }
    let mut forged = before.clone();
    let any = pointers.lines().take(8).any(|pointer| before.pointer(pointer).is_some_and(|value| !value.is_null()));
    assert_eq!(fields.open(&opener, 1, &mut forged).is_err(), any, "something opened that was not sealed");
    assert_eq!(forged, before);
}

pub(crate) fn document_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "/ssn\n/contact/phone\n\n{\"ssn\": \"999\", \"contact\": {\"phone\": 5551234, \"mail\": null}, \"plan\": [1, 2.5]}",
        "/a~1b\n/list/0\n\n{\"a/b\": {\"deep\": [true]}, \"list\": [\"chy1.AAAA\", \"x\"]}",
        "/x\n\n{\"x\": null}",
        "/x\n\n{\"x\": 5.448184794357964e-29}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A signed checkpoint, what a witness is asked, or a DSSE envelope.
pub(crate) fn signed(data: &[u8]) {
    if let Ok(envelope) = dsse::Envelope::from_json(data) {
        assert_eq!(envelope.to_json(), data, "two spellings of one envelope");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(signed) = SignedCheckpoint::parse(text) {
        assert_eq!(signed.text(), text);
        let body = signed.checkpoint().body();
        assert!(text.starts_with(&body));
        assert_eq!(Checkpoint::from_body(&body).unwrap(), *signed.checkpoint());
    }
    if let Ok(request) = AddCheckpoint::parse(text) {
        assert_eq!(request.to_text(), text);
        let key = CosignerKey::new("w", Ed25519SigningKey::from_seed(&[5; 32]).unwrap().public()).unwrap();
        text.lines().for_each(|line| assert!(key.verify(request.checkpoint.checkpoint(), line).is_err()));
    }
}

pub(crate) fn signed_seeds() -> Vec<Vec<u8>> {
    let key = Ed25519SigningKey::from_seed(&[3; 32]).unwrap();
    let body = "chancery.example/t\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let checkpoint = SignedCheckpoint::sign(&Checkpoint::from_body(body).unwrap(), &key, "chancery.example/t").unwrap();
    let envelope = dsse::sign_ed25519("application/json", b"{}".to_vec(), &key, &key.public().jwk().thumbprint());
    let request = AddCheckpoint { old: 3, proof: vec![[1; 32]], checkpoint: checkpoint.clone() };
    vec![checkpoint.text().as_bytes().to_vec(), request.to_text().into_bytes(), envelope.to_json()]
}
