use proptest::prelude::*;
use serde_json::Value;
use static_assertions::assert_not_impl_any;

use super::*;

assert_not_impl_any!(FernetKey: Clone, Copy, serde::Serialize);
assert_not_impl_any!(GcmKey: Clone, Copy, serde::Serialize);

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../testdata/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn unhex(value: &Value, name: &str) -> Vec<u8> {
    hex(text(value, name)).unwrap()
}

fn fernet_key(text: &Value) -> FernetKey {
    FernetKey::from_text(text.as_str().unwrap()).unwrap()
}

fn opened(found: Result<crate::Secret<Vec<u8>>, LegacyError>) -> Result<Vec<u8>, LegacyError> {
    found.map(|secret| secret.expose().clone())
}

/// Every byte of `bytes` changed in turn.
fn changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(|at| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x04;
        bytes
    })
}

#[test]
fn the_fernet_specification_s_vectors_come_out_as_it_says() {
    for name in ["fernet/verify", "fernet/generate"] {
        for case in list(&vectors(name)) {
            let keys = FernetKeys::from(vec![fernet_key(&case["secret"])]);
            assert_eq!(opened(keys.open(text(case, "token"))), Ok(text(case, "src").into()));
        }
    }
    for case in list(&vectors("fernet/invalid")) {
        let found = FernetKeys::from(vec![fernet_key(&case["secret"])]).open(text(case, "token"));
        let wanted = match text(case, "desc") {
            "expired TTL" | "far-future TS (unacceptable clock skew)" => {
                assert_eq!(opened(found), Ok(Vec::new()), "time is not looked at");
                continue;
            }
            "too short" | "invalid base64" | "payload size not multiple of block size" => LegacyError::NotThisForm,
            _ => LegacyError::WrongKeyOrTampered,
        };
        assert_eq!(found.unwrap_err(), wanted, "{case}");
    }
}

#[test]
fn fernet_tokens_of_python_open_under_one_of_several_keys() {
    let vectors = vectors("legacy/fernet");
    let keys = FernetKeys::from(list(&vectors["keys"]).iter().map(fernet_key).collect::<Vec<_>>());
    let others = FernetKeys::from(vec![fernet_key(&vectors["other_key"])]);
    for case in list(&vectors["cases"]) {
        let token = text(case, "token");
        assert!(token.starts_with(FERNET_PREFIX));
        assert_eq!(opened(keys.open(token)), Ok(text(case, "plaintext").into()));
        assert_eq!(opened(keys.open(token.trim_end_matches('='))), Ok(text(case, "plaintext").into()));
        assert_eq!(others.open(token).unwrap_err(), LegacyError::WrongKeyOrTampered);
        let bytes = BASE64URL.decode(token.as_bytes()).unwrap();
        for (at, bad) in changed(&bytes).enumerate().filter(|(at, _)| *at < 80) {
            let wanted = if at == 0 { LegacyError::NotThisForm } else { LegacyError::WrongKeyOrTampered };
            assert_eq!(keys.open(&BASE64URL.encode(&bad)).unwrap_err(), wanted, "byte {at}");
        }
        for cut in 1..bytes.len() {
            assert!(keys.open(&BASE64URL.encode(&bytes[..cut])).is_err());
        }
    }
    for bad in ["", "gAAAAA", "Jane Doe", "chy1.AAAA"] {
        assert_eq!(keys.open(bad).unwrap_err(), LegacyError::NotThisForm, "{bad}");
    }
    for case in list(&vectors["wrapped_data_keys"]) {
        let key = keys.open_data_key(text(case, "token")).unwrap();
        assert_eq!(key.expose().as_slice(), unhex(&vectors, "data_key"), "{case}");
    }
    let value = text(&vectors["cases"][2], "token");
    assert_eq!(keys.open_data_key(value).unwrap_err(), LegacyError::NotThisForm, "a value is no data key");
    assert!(FernetKey::from_text("short").is_none() && FernetKey::from_bytes(&[0; 33]).is_none());
}

#[test]
fn bare_tenant_values_of_python_open_with_the_right_derivation() {
    let vectors = vectors("legacy/bare");
    let master = unhex(&vectors, "master");
    for case in list(&vectors["cases"]) {
        let hash = match text(case, "hash") {
            "sha256" => HkdfHash::Sha256,
            "sha384" => HkdfHash::Sha384,
            _ => HkdfHash::Sha512,
        };
        let (salt, info) = (unhex(case, "salt"), unhex(case, "info"));
        let right = KeyDerivation { hash, salt: &salt, info: &info };
        let key = GcmKey::derive(&master, &right).unwrap();
        let value = text(case, "text");
        assert_eq!(opened(key.open(value, b"")), Ok(text(case, "plaintext").into()));
        assert_eq!(key.open(value, b"x").unwrap_err(), LegacyError::WrongKeyOrTampered);
        for wrong in [
            KeyDerivation { salt: b"other", ..right },
            KeyDerivation { info: b"other", ..right },
            KeyDerivation { hash: if hash == HkdfHash::Sha256 { HkdfHash::Sha512 } else { HkdfHash::Sha256 }, ..right },
        ] {
            let key = GcmKey::derive(&master, &wrong).unwrap();
            assert_eq!(key.open(value, b"").unwrap_err(), LegacyError::WrongKeyOrTampered);
        }
        for bad in changed(&base64(value).unwrap()).take(60) {
            assert_eq!(key.open_bytes(&bad, b"").unwrap_err(), LegacyError::WrongKeyOrTampered);
        }
        for bad in ["", "AAAA", "not base64!", "Jane Doe"] {
            assert_eq!(key.open(bad, b"").unwrap_err(), LegacyError::NotThisForm, "{bad}");
        }
    }
}

#[test]
fn four_part_rows_of_python_open_under_one_of_several_passwords() {
    let vectors = vectors("legacy/rows");
    let secrets: Vec<&[u8]> =
        list(&vectors["secrets"]).iter().map(|secret| secret.as_str().unwrap().as_bytes()).collect();
    for case in list(&vectors["cases"]) {
        let count = case["iterations"].as_u64().map(|count| u32::try_from(count).unwrap());
        let iterations = count.map_or_else(Iterations::default, |count| Iterations::new(count).unwrap());
        let row = FourPartRow {
            ciphertext: text(case, "ciphertext"),
            salt: text(case, "salt"),
            nonce: text(case, "nonce"),
            tag: text(case, "tag"),
        };
        let (at, material) = row.open(&secrets, iterations).unwrap();
        assert_eq!((at as u64, material.expose().clone()), (case["secret"].as_u64().unwrap(), unhex(case, "material")));
        assert_eq!(row.open(&[b"another"], iterations).unwrap_err(), LegacyError::WrongKeyOrTampered);
        assert_eq!(row.open(&[], iterations).unwrap_err(), LegacyError::WrongKeyOrTampered);
        let swap = |text: &str| text.replacen(char::is_alphanumeric, if text.starts_with('1') { "0" } else { "1" }, 1);
        let (ciphertext, salt, nonce, tag) = (swap(row.ciphertext), swap(row.salt), swap(row.nonce), swap(row.tag));
        for bad in [
            FourPartRow { ciphertext: &ciphertext, ..row },
            FourPartRow { salt: &salt, ..row },
            FourPartRow { nonce: &nonce, ..row },
            FourPartRow { tag: &tag, ..row },
        ] {
            assert_eq!(bad.open(&secrets, iterations).unwrap_err(), LegacyError::WrongKeyOrTampered, "{bad:?}");
        }
        for bad in [
            FourPartRow { ciphertext: "?", ..row },
            FourPartRow { salt: "abcd", ..row },
            FourPartRow { nonce: row.tag, ..row },
            FourPartRow { tag: row.nonce, ..row },
            FourPartRow { tag: "", ..row },
        ] {
            assert_eq!(bad.open(&secrets, iterations).unwrap_err(), LegacyError::NotThisForm, "{bad:?}");
        }
    }
    assert_eq!(Iterations::default().get(), 100_000);
    assert_eq!((Iterations::new(0), Iterations::new(u32::MAX)), (None, None));
}

#[test]
fn fields_under_a_wrapped_data_key_open_in_their_context_only() {
    let vectors = vectors("legacy/phi");
    let data_key =
        FernetKeys::from(vec![fernet_key(&vectors["kek"])]).open_data_key(text(&vectors, "wrapped_data_key")).unwrap();
    let key = |context: &str| {
        GcmKey::derive(data_key.expose(), &KeyDerivation { info: context.as_bytes(), ..KeyDerivation::default() })
            .unwrap()
    };
    for case in list(&vectors["cases"]) {
        let (context, value) = (text(case, "context"), text(case, "text"));
        let associated = if case["bound"].as_bool().unwrap() { context } else { "" };
        assert_eq!(opened(key(context).open(value, associated.as_bytes())), Ok(text(case, "plaintext").into()));
        assert_eq!(key("user:44").open(value, associated.as_bytes()).unwrap_err(), LegacyError::WrongKeyOrTampered);
        assert_eq!(key(context).open(value, b"user:44").unwrap_err(), LegacyError::WrongKeyOrTampered);
        let bare = GcmKey::from_key(&data_key).unwrap();
        assert_eq!(bare.open(value, associated.as_bytes()).unwrap_err(), LegacyError::WrongKeyOrTampered);
    }
}

proptest! {
    #[test]
    fn any_text_and_bytes_are_refused(input in "(?s).{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let keys = FernetKeys::from(vec![FernetKey::from_bytes(&[7; 32]).unwrap()]);
        let key = GcmKey::from_key(&crate::Key256::from_bytes([7; 32])).unwrap();
        let token = BASE64URL.encode(&[&[0x80][..], &bytes].concat());
        for text in [&input, &token, &BASE64.encode(&bytes)] {
            prop_assert!(keys.open(text).is_err());
            prop_assert!(keys.open_data_key(text).is_err());
            prop_assert!(key.open(text, b"").is_err());
            let row = FourPartRow { ciphertext: text, salt: text, nonce: text, tag: text };
            prop_assert!(row.open(&[b"password"], Iterations::new(1).unwrap()).is_err());
            let row = FourPartRow { salt: "00000000000000000000000000000000", nonce: "000000000000000000000000", tag: "00000000000000000000000000000000", ..row };
            prop_assert!(row.open(&[b"password"], Iterations::new(1).unwrap()).is_err());
            let _ = FernetKey::from_text(text);
        }
    }
}
