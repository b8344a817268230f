//! DSSE v1 envelopes in a narrow profile: canonical JSON, padded standard base64, exactly one signature, `keyid` required.
//!
//! The signature covers [`pae`] of the payload's bytes, so nothing is parsed before it is verified
//! ([DSSE protocol](https://github.com/secure-systems-lab/dsse/blob/master/protocol.md)).

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base64;
use crate::canonical::{self, CanonicalError};
use crate::jwk::{Curve, Jwk};
use crate::keys::{PublicKey, SignatureAlgorithm};
use crate::sign::{Ed25519PublicKey, Ed25519SigningKey};

/// Why an envelope was not read or did not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// Not canonical JSON.
    #[error("envelope is not canonical JSON")]
    Json(#[from] CanonicalError),
    /// Other members than DSSE has, or base64 that is not strict.
    #[error("malformed envelope")]
    Malformed,
    /// None, or more than one: the profile has exactly one.
    #[error("not exactly one signature")]
    SignatureCount,
    /// The envelope names another key than the one it was checked with.
    #[error("signed by another key")]
    WrongKeyId,
    /// The signature does not belong to this payload, type and key.
    #[error("bad signature")]
    BadSignature,
}

/// A payload and who signed it. Reading one proves nothing; [`verify_ed25519`](Self::verify_ed25519) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The media type of the payload; signed.
    pub payload_type: String,
    /// The exact bytes that were signed.
    pub payload: Vec<u8>,
    /// One signature in this profile.
    pub signatures: Vec<Signature>,
}

/// One signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// A hint, not signed: the RFC 7638 thumbprint of the signing key.
    pub keyid: String,
    /// The raw signature.
    pub sig: Vec<u8>,
}

/// Pre-authentication encoding: `DSSEv1 ‖ SP ‖ len(type) ‖ SP ‖ type ‖ SP ‖ len(payload) ‖ SP ‖ payload`, lengths in decimal bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The name in statements of how a key of this type signs envelopes; `None` if it does not.
pub const fn algorithm(key: &Jwk) -> Option<&'static str> {
    match key {
        Jwk::Okp { .. } => Some("Ed25519"),
        Jwk::Ec { crv: Curve::P256, .. } => Some("ES256"),
        Jwk::Rsa { .. } => Some("PS256"),
        Jwk::Ec { crv: Curve::P384, .. } => None,
    }
}

/// Signs `payload` and puts it into an envelope.
pub fn sign_ed25519(payload_type: &str, payload: Vec<u8>, key: &Ed25519SigningKey, keyid: &str) -> Envelope {
    let sig = key.sign(&pae(payload_type, &payload)).to_vec();
    Envelope::of(payload_type, payload, keyid, sig)
}

impl Envelope {
    /// Of a signature of [`pae`] that was made elsewhere.
    pub fn of(payload_type: &str, payload: Vec<u8>, keyid: &str, sig: Vec<u8>) -> Self {
        Self { payload_type: payload_type.into(), payload, signatures: vec![Signature { keyid: keyid.into(), sig }] }
    }

    /// The envelope as canonical JSON.
    #[expect(
        clippy::expect_used,
        reason = "INVARIANT: strings and arrays three deep under ASCII keys are within the profile"
    )]
    pub fn to_json(&self) -> Vec<u8> {
        let signatures: Vec<_> =
            self.signatures.iter().map(|one| json!({"keyid": one.keyid, "sig": BASE64.encode(&one.sig)})).collect();
        let value = json!({"payload": BASE64.encode(&self.payload), "payloadType": self.payload_type, "signatures": signatures});
        canonical::to_vec(&value).expect("an envelope has a canonical form")
    }

    /// Reads exactly what [`to_json`](Self::to_json) writes.
    ///
    /// # Errors
    ///
    /// [`DsseError::Json`], [`DsseError::Malformed`], [`DsseError::SignatureCount`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, DsseError> {
        let text: Text = serde_json::from_value(canonical::parse(bytes)?).map_err(|_| DsseError::Malformed)?;
        let base64 = |text: &str| base64::decode(text).ok_or(DsseError::Malformed);
        let [one] = text.signatures.as_slice() else {
            return Err(DsseError::SignatureCount);
        };
        let signature = Signature { keyid: one.keyid.clone(), sig: base64(&one.sig)? };
        let read =
            Self { payload: base64(&text.payload)?, payload_type: text.payload_type, signatures: vec![signature] };
        // Lists of the same texts in the place of the objects are read too, and no signature covers their spelling.
        if read.to_json() == bytes { Ok(read) } else { Err(DsseError::Malformed) }
    }

    /// Checks that `key`, known as `keyid`, signed this payload under this type. The caller compares `payload_type` with what it expects.
    ///
    /// # Errors
    ///
    /// [`DsseError::SignatureCount`], [`DsseError::WrongKeyId`], [`DsseError::BadSignature`].
    pub fn verify_ed25519(&self, key: &Ed25519PublicKey, keyid: &str) -> Result<(), DsseError> {
        self.check(keyid, |message, sig| key.verify(message, sig))
    }

    /// As [`verify_ed25519`](Self::verify_ed25519), for a key of any type that has an [`algorithm`]: Ed25519, ECDSA P-256 as
    /// r ‖ s, or RSA-PSS, the latter two with SHA-256. The key says which, never the envelope.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn verify(&self, key: &Jwk, keyid: &str) -> Result<(), DsseError> {
        let how = match key {
            Jwk::Okp { .. } => SignatureAlgorithm::EdDsa,
            Jwk::Ec { crv: Curve::P256, .. } => SignatureAlgorithm::Es256,
            Jwk::Rsa { .. } => SignatureAlgorithm::Ps256,
            Jwk::Ec { crv: Curve::P384, .. } => return Err(DsseError::BadSignature),
        };
        let public = PublicKey::try_from(key).map_err(|_| DsseError::BadSignature)?;
        self.check(keyid, |message, sig| public.verify(how, message, sig))
    }

    fn check(&self, keyid: &str, verifies: impl Fn(&[u8], &[u8]) -> bool) -> Result<(), DsseError> {
        let [one] = self.signatures.as_slice() else {
            return Err(DsseError::SignatureCount);
        };
        if one.keyid != keyid {
            return Err(DsseError::WrongKeyId);
        }
        if verifies(&pae(&self.payload_type, &self.payload), &one.sig) { Ok(()) } else { Err(DsseError::BadSignature) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Text {
    payload: String,
    payload_type: String,
    signatures: Vec<TextSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextSignature {
    keyid: String,
    sig: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{P256PublicKey, P256SigningKey, P384SigningKey, RsaPrivateKey, RsaSize};

    const TYPE: &str = "application/vnd.chancery.certificate.v1+json";

    fn key() -> Ed25519SigningKey {
        Ed25519SigningKey::from_seed(&[3; 32]).unwrap()
    }

    #[test]
    fn the_vector_of_the_specification_verifies() {
        let known: Value =
            serde_json::from_str(include_str!("../../../testdata/vectors/dsse-spec/vector.json")).unwrap();
        let (payload_type, payload) =
            (known["payload_type"].as_str().unwrap(), known["payload_ascii"].as_str().unwrap());
        let encoded = pae(payload_type, payload.as_bytes());
        assert_eq!(encoded, known["pae"].as_str().unwrap().as_bytes());
        let point: [u8; 65] =
            [&[4][..], &decimal(&known["ecdsa_p256_x"]), &decimal(&known["ecdsa_p256_y"])].concat().try_into().unwrap();
        let sig = BASE64.decode(known["envelope"]["signatures"][0]["sig"].as_str().unwrap().as_bytes()).unwrap();
        assert!(P256PublicKey::from_bytes(point).unwrap().verify(&encoded, &sig));
        // Our profile wants a keyid.
        assert_eq!(Envelope::from_json(&canonical::to_vec(&known["envelope"]).unwrap()), Err(DsseError::Malformed));
    }

    #[test]
    fn a_signature_in_two_spellings_is_one_too_many() {
        let text = String::from_utf8(sign_ed25519("t", b"{}".to_vec(), &key(), "k").to_json()).unwrap();
        let (head, rest) = text.split_once("\"sig\":\"").unwrap();
        let (sig, tail) = rest.split_once('"').unwrap();
        let bytes = BASE64.decode(sig.as_bytes()).unwrap();
        let (one, two) = bytes.split_at(31);
        // Found by fuzzing: padded texts put together were read as one.
        let other = format!("{head}\"sig\":\"{}{}\"{tail}", BASE64.encode(one), BASE64.encode(two));
        assert_eq!(Envelope::from_json(other.as_bytes()), Err(DsseError::Malformed));
        assert!(Envelope::from_json(text.as_bytes()).is_ok());
    }

    /// 32 big-endian bytes of a decimal number.
    fn decimal(digits: &Value) -> Vec<u8> {
        let mut number = vec![0_u8; 32];
        for digit in digits.as_str().unwrap().bytes() {
            let mut carry = u16::from(digit - b'0');
            for byte in number.iter_mut().rev() {
                carry += u16::from(*byte) * 10;
                *byte = carry.to_be_bytes()[1];
                carry >>= 8;
            }
        }
        number
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let envelope = sign_ed25519(TYPE, b"{}".to_vec(), &key(), "k1");
        let read = Envelope::from_json(&envelope.to_json()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.verify_ed25519(&key().public(), "k1"), Ok(()));
        assert_eq!(read.verify_ed25519(&key().public(), "k2"), Err(DsseError::WrongKeyId));
        let other = Ed25519SigningKey::from_seed(&[4; 32]).unwrap().public();
        assert_eq!(read.verify_ed25519(&other, "k1"), Err(DsseError::BadSignature));
        let moved = Envelope { payload_type: "application/json".into(), ..read.clone() };
        assert_eq!(moved.verify_ed25519(&key().public(), "k1"), Err(DsseError::BadSignature));
        let changed = Envelope { payload: b"[]".to_vec(), ..read.clone() };
        assert_eq!(changed.verify_ed25519(&key().public(), "k1"), Err(DsseError::BadSignature));
        let twice = Envelope { signatures: [read.signatures.clone(), read.signatures.clone()].concat(), ..read };
        assert_eq!(twice.verify_ed25519(&key().public(), "k1"), Err(DsseError::SignatureCount));
        assert_eq!(Envelope::from_json(&twice.to_json()), Err(DsseError::SignatureCount));
    }

    #[test]
    fn keys_of_other_types_sign_in_their_own_way_only() {
        let p256 = P256SigningKey::make().unwrap();
        let rsa = RsaPrivateKey::make(RsaSize::Rsa2048).unwrap();
        let message = pae(TYPE, b"{}");
        let signed = |sig: Vec<u8>| Envelope {
            payload_type: TYPE.into(),
            payload: b"{}".to_vec(),
            signatures: vec![Signature { keyid: "k".into(), sig }],
        };
        let (ec, pss) = (signed(p256.sign(&message).unwrap().to_vec()), signed(rsa.sign_pss(&message).unwrap()));
        let (ec_key, rsa_key) = (p256.public().jwk(), rsa.public().jwk());
        assert_eq!((algorithm(&ec_key), algorithm(&rsa_key)), (Some("ES256"), Some("PS256")));
        assert_eq!((ec.verify(&ec_key, "k"), pss.verify(&rsa_key, "k")), (Ok(()), Ok(())));
        for (envelope, key) in [
            (&ec, &rsa_key),
            (&pss, &ec_key),
            (&signed(p256.sign_der(&message).unwrap()), &ec_key),
            (&signed(rsa.sign_pkcs1(&message).unwrap()), &rsa_key),
        ] {
            assert_eq!(envelope.verify(key, "k"), Err(DsseError::BadSignature));
        }
        let p384 = P384SigningKey::make().unwrap();
        let other = signed(p384.sign(&message).unwrap().to_vec());
        assert_eq!(algorithm(&p384.public().jwk()), None);
        assert_eq!(other.verify(&p384.public().jwk(), "k"), Err(DsseError::BadSignature));
    }

    #[test]
    fn only_the_exact_json_is_read() {
        let good = String::from_utf8(sign_ed25519(TYPE, b"{}".to_vec(), &key(), "k1").to_json()).unwrap();
        for (from, to, error) in [
            ("{\"payload\"", "{ \"payload\"", DsseError::Json(CanonicalError::NotCanonical)),
            ("e30=", "e30", DsseError::Malformed),
            ("e30=", "e31=", DsseError::Malformed),
            ("e30=", "e30\\n=", DsseError::Malformed),
            ("\"keyid\":\"k1\",", "", DsseError::Malformed),
            ("\"keyid\"", "\"cert\":\"x\",\"keyid\"", DsseError::Malformed),
            ("\"payload\"", "\"more\":1,\"payload\"", DsseError::Malformed),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(Envelope::from_json(bad.as_bytes()), Err(error), "{bad}");
        }
    }

    #[test]
    fn an_envelope_that_is_a_list_is_refused() {
        let (pay, sig) = ("e30=", BASE64.encode(&key().sign(&pae("t", b"{}"))));
        let one = format!(r#"{{"keyid":"k","sig":"{sig}"}}"#);
        let good = format!(r#"{{"payload":"{pay}","payloadType":"t","signatures":[{one}]}}"#);
        assert!(Envelope::from_json(good.as_bytes()).unwrap().verify_ed25519(&key().public(), "k").is_ok());
        for bad in [
            format!(r#"["{pay}","t",[{one}]]"#),
            format!(r#"["{pay}","t",[["k","{sig}"]]]"#),
            format!(r#"{{"payload":"{pay}","payloadType":"t","signatures":[["k","{sig}"]]}}"#),
        ] {
            assert_eq!(Envelope::from_json(bad.as_bytes()), Err(DsseError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), payload: Vec<u8>, keyid: String) {
            let _ = Envelope::from_json(&bytes);
            let envelope = sign_ed25519(TYPE, payload, &key(), &keyid);
            prop_assert_eq!(Envelope::from_json(&envelope.to_json()).unwrap(), envelope);
        }
    }
}
