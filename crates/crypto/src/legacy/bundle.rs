//! Signed certificates of another system, against its public keys.
//!
//! A bundle is JSON: `certificate_id`, `key_id`, `signature`, and the exact bytes that were signed as `canonical_message`, a text or base64
//! of one. Bundles of before that member existed have the statement itself, as `payload`, `message` or `data`: its canonical form is
//! written again in the spellings that were in use, and the signature says which one it was. Nothing is believed of a spelling.
//!
//! Around a message that was signed a bundle may say anything. What it says twice, once signed and once not, must be the same.

use std::fmt::Write as _;

use serde_json::Value;

use super::base64;
use crate::canonical::escape;
use crate::jwk::{Curve, Jwk};
use crate::keys::{PublicKey, SignatureAlgorithm};

/// What a bundle comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleVerdict<'k> {
    /// The key signed it.
    Valid {
        /// In this way.
        algorithm: SignatureAlgorithm,
        /// Whether the message had to be written again.
        rebuilt: bool,
        /// With this key.
        key: &'k Jwk,
    },
    /// The key signed the message, and the bundle has another id, statement or member beside it than the message.
    Inconsistent,
    /// The message is there, and the key did not sign it.
    Invalid,
    /// There is no key of this id.
    UnknownKey,
    /// Not a bundle, a key of a kind that signs in no way we know, or without its message and in no spelling that we know.
    Unsupported,
}

/// Where the statement may be in a bundle without its message.
const STATEMENTS: [&str; 4] = ["payload", "message", "data", "certificate"];

/// The id of a bundle's certificate.
pub fn bundle_id(bundle: &Value) -> Option<&str> {
    bundle.get("certificate_id").or_else(|| bundle.get("id")).and_then(Value::as_str)
}

/// Checks a bundle against public keys by their ids.
pub fn verify_bundle<'k>(bundle: &Value, keys: &'k [(String, Jwk)]) -> BundleVerdict<'k> {
    let text = |name: &str| bundle.get(name).and_then(Value::as_str);
    let (Some(_), Some(key_id), Some(signature)) = (bundle_id(bundle), text("key_id"), text("signature")) else {
        return BundleVerdict::Unsupported;
    };
    let Some((_, jwk)) = keys.iter().find(|(id, _)| id == key_id) else { return BundleVerdict::UnknownKey };
    let (Ok(public), Some(signature)) = (PublicKey::try_from(jwk), super::hex(signature).or_else(|| base64(signature)))
    else {
        return BundleVerdict::Unsupported;
    };
    let signed_by =
        |message: &[u8]| ways(jwk).iter().copied().find(|algorithm| public.verify(*algorithm, message, &signature));
    if let Some(message) = bundle.get("canonical_message").filter(|message| !message.is_null()) {
        let Some(message) = message.as_str() else { return BundleVerdict::Unsupported };
        // The text itself, or what it is the base64 of: the signature says which.
        let plain = signed_by(message.as_bytes()).map(|algorithm| (algorithm, message.as_bytes().to_vec()));
        let signed = plain.or_else(|| {
            let decoded = base64(message)?;
            signed_by(&decoded).map(|algorithm| (algorithm, decoded))
        });
        let Some((algorithm, message)) = signed else { return BundleVerdict::Invalid };
        let agrees = agrees(bundle, serde_json::from_slice(&message).ok().as_ref());
        return if agrees {
            BundleVerdict::Valid { algorithm, rebuilt: false, key: jwk }
        } else {
            BundleVerdict::Inconsistent
        };
    }
    let statement = STATEMENTS.iter().find_map(|name| bundle.get(*name).filter(|found| found.is_object()));
    let rebuilt = statement.and_then(|statement| {
        let algorithm = spellings(statement).find_map(|message| signed_by(message.as_bytes()))?;
        Some((algorithm, statement))
    });
    match rebuilt {
        // That none fits does not say that it is forged: it may have been spelled in another way.
        None => BundleVerdict::Unsupported,
        Some((algorithm, statement)) if agrees(bundle, Some(statement)) => {
            BundleVerdict::Valid { algorithm, rebuilt: true, key: jwk }
        }
        Some(_) => BundleVerdict::Inconsistent,
    }
}

/// Whether a bundle says of itself what was signed: its id, its statement, and every member that both have.
fn agrees(bundle: &Value, signed: Option<&Value>) -> bool {
    let signed = signed.filter(|signed| signed.is_object());
    let stated = |name: &str| match (bundle.get(name).filter(|stated| stated.is_object()), signed) {
        (None, _) => true,
        // Beside a message that is no object nothing shows what the statement has to do with it.
        (Some(_), None) => false,
        (Some(stated), Some(signed)) => signed == stated || signed.get(name) == Some(stated),
    };
    let mut members = signed.and_then(Value::as_object).into_iter().flatten();
    members.all(|(name, value)| bundle.get(name).is_none_or(|beside| beside == value))
        && signed.and_then(bundle_id).is_none_or(|id| bundle_id(bundle) == Some(id))
        && STATEMENTS.into_iter().all(stated)
}

/// How a key of this type may have signed.
const fn ways(jwk: &Jwk) -> &'static [SignatureAlgorithm] {
    use SignatureAlgorithm::{EdDsa, Es256, Es256Der, Es384, Es384Der, Ps256, Rs256};
    match jwk {
        Jwk::Okp { .. } => &[EdDsa],
        Jwk::Ec { crv: Curve::P256, .. } => &[Es256, Es256Der],
        Jwk::Ec { crv: Curve::P384, .. } => &[Es384, Es384Der],
        Jwk::Rsa { .. } => &[Ps256, Rs256],
    }
}

/// The canonical forms that were in use: members sorted; with or without spaces after commas and colons; letters outside ASCII as
/// they are or escaped. A fraction has too many spellings to guess.
fn spellings(statement: &Value) -> impl Iterator<Item = String> {
    let forms = [(false, false), (false, true), (true, true), (true, false)];
    forms.into_iter().filter_map(|(spaces, ascii)| {
        let mut out = String::new();
        spell(&mut out, statement, spaces, ascii, crate::canonical::DEPTH).then_some(out)
    })
}

fn spell(out: &mut String, value: &Value, spaces: bool, ascii: bool, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let comma = if spaces { ", " } else { "," };
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(held) => out.push_str(if *held { "true" } else { "false" }),
        Value::Number(number) if number.is_f64() => return false,
        Value::Number(number) => {
            let _ = write!(out, "{number}"); // writing to a `String` cannot fail
        }
        Value::String(text) => quote(out, text, ascii),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { comma } else { "" });
                if !spell(out, item, spaces, ascii, depth) {
                    return false;
                }
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, item)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { comma } else { "" });
                quote(out, name, ascii);
                out.push_str(if spaces { ": " } else { ":" });
                if !spell(out, item, spaces, ascii, depth) {
                    return false;
                }
            }
            out.push('}');
        }
    }
    true
}

/// As Python's `json` writes a text, with or without `ensure_ascii`.
fn quote(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for letter in text.chars() {
        if ascii && letter > '\u{7f}' {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            escape(out, letter);
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use serde_json::json;

    use super::*;
    use crate::{Ed25519SigningKey, P256SigningKey, RsaPrivateKey, RsaSize};

    #[test]
    fn bundles_verify_by_the_bytes_that_were_signed() {
        let (ed25519, p256) = (Ed25519SigningKey::from_seed(&[7; 32]).unwrap(), P256SigningKey::make().unwrap());
        let rsa = RsaPrivateKey::make(RsaSize::Rsa2048).unwrap();
        let keys = [
            ("ed".to_owned(), ed25519.public().jwk()),
            ("ec".to_owned(), p256.public().jwk()),
            ("rsa".to_owned(), rsa.public().jwk()),
        ];
        let message = br#"{"patient":"Zo\u00eb"}"#;
        let bundle = |key: &str, signature: Vec<u8>, message: &str| json!({"certificate_id": "c1", "key_id": key, "signature": BASE64.encode(&signature), "canonical_message": message});
        let text = std::str::from_utf8(message).unwrap();
        for (key, signature, algorithm) in [
            ("ed", ed25519.sign(message).to_vec(), SignatureAlgorithm::EdDsa),
            ("ec", p256.sign(message).unwrap().to_vec(), SignatureAlgorithm::Es256),
            ("ec", p256.sign_der(message).unwrap(), SignatureAlgorithm::Es256Der),
            ("rsa", rsa.sign_pss(message).unwrap(), SignatureAlgorithm::Ps256),
            ("rsa", rsa.sign_pkcs1(message).unwrap(), SignatureAlgorithm::Rs256),
        ] {
            let jwk = &keys.iter().find(|(id, _)| id == key).unwrap().1;
            let valid = BundleVerdict::Valid { algorithm, rebuilt: false, key: jwk };
            assert_eq!(verify_bundle(&bundle(key, signature.clone(), text), &keys), valid);
            assert_eq!(verify_bundle(&bundle(key, signature.clone(), &BASE64.encode(message)), &keys), valid);
            assert_eq!(verify_bundle(&bundle(key, signature.clone(), "{}"), &keys), BundleVerdict::Invalid);
            assert_eq!(verify_bundle(&bundle("no", signature, text), &keys), BundleVerdict::UnknownKey);
        }
        for odd in [json!({}), json!([]), json!({"certificate_id": "c1", "key_id": "ed", "signature": "!"})] {
            assert_eq!(verify_bundle(&odd, &keys), BundleVerdict::Unsupported);
        }
    }

    /// The signature is over the message alone; the id and the payload beside it were once anybody's.
    #[test]
    fn what_stands_beside_a_signed_message_says_the_same() {
        let key = Ed25519SigningKey::from_seed(&[7; 32]).unwrap();
        let keys = [("k".to_owned(), key.public().jwk())];
        let verdict = |message: &str, more: Value| {
            let signature = BASE64.encode(&key.sign(message.as_bytes()));
            let mut bundle = json!({"certificate_id": "c1", "key_id": "k", "signature": signature});
            bundle.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            match verify_bundle(&bundle, &keys) {
                BundleVerdict::Valid { .. } => true,
                BundleVerdict::Inconsistent => false,
                other => panic!("{other:?}: {bundle}"),
            }
        };
        let signed = r#"{"certificate_id":"c1","payload":{"a":1},"tenant":"t"}"#;
        let beside = |more: Value| {
            let mut more = more;
            more["canonical_message"] = json!(signed);
            more
        };
        for good in [json!({}), json!({"payload": {"a": 1}}), json!({"tenant": "t", "other": 5})] {
            assert!(verdict(signed, beside(good.clone())), "{good}");
        }
        for bad in [
            json!({"certificate_id": "c2"}),
            json!({"payload": {"a": 2}}),
            json!({"data": {"a": 2}}),
            json!({"tenant": "u"}),
        ] {
            assert!(!verdict(signed, beside(bad.clone())), "{bad}");
        }
        // The message may be the statement itself, or no JSON at all; then nothing shows what a statement has to do with it.
        let whole = json!({"canonical_message": r#"{"id":"c1"}"#, "payload": {"id": "c1"}});
        assert!(verdict(r#"{"id":"c1"}"#, whole));
        assert!(verdict("c1|2026", json!({"canonical_message": "c1|2026"})));
        assert!(!verdict("c1|2026", json!({"canonical_message": "c1|2026", "payload": {"id": "c1"}})));
        // One that was written again names its certificate too.
        assert!(verdict(r#"{"certificate_id":"c1"}"#, json!({"payload": {"certificate_id": "c1"}})));
        assert!(!verdict(r#"{"certificate_id":"c9"}"#, json!({"payload": {"certificate_id": "c9"}})));
    }

    #[test]
    fn a_message_that_is_missing_is_written_again_where_the_signature_proves_it() {
        let key = Ed25519SigningKey::from_seed(&[7; 32]).unwrap();
        let keys = [("k".to_owned(), key.public().jwk())];
        let statement = json!({"b": [1, true, null], "a": {"name": "Zo\u{eb} \u{1f600}\n"}});
        for message in [
            "{\"a\":{\"name\":\"Zo\u{eb} \u{1f600}\\n\"},\"b\":[1,true,null]}",
            "{\"a\":{\"name\":\"Zo\\u00eb \\ud83d\\ude00\\n\"},\"b\":[1,true,null]}",
            "{\"a\": {\"name\": \"Zo\\u00eb \\ud83d\\ude00\\n\"}, \"b\": [1, true, null]}",
            "{\"a\": {\"name\": \"Zo\u{eb} \u{1f600}\\n\"}, \"b\": [1, true, null]}",
        ] {
            let signature = BASE64.encode(&key.sign(message.as_bytes()));
            let bundle = json!({"certificate_id": "c1", "key_id": "k", "signature": signature, "payload": statement});
            let valid = BundleVerdict::Valid { algorithm: SignatureAlgorithm::EdDsa, rebuilt: true, key: &keys[0].1 };
            assert_eq!(verify_bundle(&bundle, &keys), valid, "{message}");
        }
        let signature = BASE64.encode(&key.sign(b"{'a': 1}"));
        for statement in [json!({"a": 1}), json!({"a": 1.5})] {
            let bundle = json!({"certificate_id": "c1", "key_id": "k", "signature": signature, "payload": statement});
            assert_eq!(verify_bundle(&bundle, &keys), BundleVerdict::Unsupported);
        }
    }
}
