//! Public keys as JSON ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)) and their thumbprints ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::digest::sha256;
use crate::sign::{Ed25519PublicKey, KeyError, P256PublicKey};

/// A public key. Members beyond those of a key of its type (`kid`, `use`, `alg`) are read over; a private member is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub enum Jwk {
    /// `kty: OKP`, `crv: Ed25519` (RFC 8037).
    Okp {
        /// The 32 bytes of the public key.
        x: [u8; 32],
    },
    /// `kty: EC` (RFC 7518 §6.2).
    Ec {
        /// The curve.
        crv: Curve,
        /// 32 or 48 bytes, big-endian, as the curve says.
        x: Vec<u8>,
        /// As long as `x`.
        y: Vec<u8>,
    },
    /// `kty: RSA` (RFC 7518 §6.3).
    Rsa {
        /// The modulus, big-endian without leading zeros, 2048 to 8192 bits.
        n: Vec<u8>,
        /// The exponent, likewise.
        e: Vec<u8>,
    },
}

/// A NIST curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// secp256r1.
    #[serde(rename = "P-256")]
    P256,
    /// secp384r1.
    #[serde(rename = "P-384")]
    P384,
}

impl Curve {
    /// The name in `crv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// Why JSON is no public key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// A `kty` or `crv` that is not supported.
    #[error("unknown key type or curve")]
    UnknownType,
    /// A member is absent, is not base64url, or has the wrong size.
    #[error("missing or malformed member")]
    Malformed,
    /// A private or symmetric member (`d`, `k`, …) is present: this text should not have left its owner.
    #[error("key is not public")]
    NotPublic,
}

impl Jwk {
    /// The RFC 7638 thumbprint: base64url of SHA-256 over the required members in order. Our `kid` and `keyid`.
    pub fn thumbprint(&self) -> String {
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let canonical = match self {
            Self::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
            Self::Ec { crv, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, crv.name(), b64(x), b64(y))
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
        };
        b64(&sha256(canonical.as_bytes()))
    }
}

impl From<&Ed25519PublicKey> for Jwk {
    fn from(key: &Ed25519PublicKey) -> Self {
        Self::Okp { x: *key.as_bytes() }
    }
}

impl From<&P256PublicKey> for Jwk {
    fn from(key: &P256PublicKey) -> Self {
        let (_, point) = key.as_bytes().split_at(1);
        let (x, y) = point.split_at(32);
        Self::Ec { crv: Curve::P256, x: x.to_vec(), y: y.to_vec() }
    }
}

impl Ed25519PublicKey {
    /// The key as a JWK.
    pub fn jwk(&self) -> Jwk {
        self.into()
    }
}

impl P256PublicKey {
    /// The key as a JWK.
    pub fn jwk(&self) -> Jwk {
        self.into()
    }
}

impl TryFrom<&Jwk> for Ed25519PublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        match jwk {
            Jwk::Okp { x } => Self::from_bytes(*x),
            Jwk::Ec { .. } | Jwk::Rsa { .. } => Err(KeyError::Malformed),
        }
    }
}

impl TryFrom<&Jwk> for P256PublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        match jwk {
            Jwk::Ec { crv: Curve::P256, x, y } => {
                Self::from_bytes([&[4], x.as_slice(), y].concat().try_into().map_err(|_| KeyError::Malformed)?)
            }
            Jwk::Okp { .. } | Jwk::Ec { .. } | Jwk::Rsa { .. } => Err(KeyError::Malformed),
        }
    }
}

/// The JSON as it stands. What a key of its type does not have may be there, and be anything.
#[derive(Serialize, Deserialize, Default)]
struct Members {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<Value>,
    /// By name; a struct with such a member is read from objects alone, and not from lists.
    #[serde(flatten, skip_serializing)]
    others: BTreeMap<String, IgnoredAny>,
}

/// Members of private and symmetric keys: whatever they are, a null too.
const PRIVATE: [&str; 4] = ["d", "k", "p", "q"];

impl From<Jwk> for Members {
    fn from(jwk: Jwk) -> Self {
        let b64 = |bytes: &[u8]| Some(BASE64URL_NOPAD.encode(bytes).into());
        match jwk {
            Jwk::Okp { x } => Self { kty: "OKP".into(), crv: Some("Ed25519".into()), x: b64(&x), ..Self::default() },
            Jwk::Ec { crv, x, y } => {
                Self { kty: "EC".into(), crv: Some(crv.name().into()), x: b64(&x), y: b64(&y), ..Self::default() }
            }
            Jwk::Rsa { n, e } => Self { kty: "RSA".into(), n: b64(&n), e: b64(&e), ..Self::default() },
        }
    }
}

impl TryFrom<Members> for Jwk {
    type Error = JwkError;

    fn try_from(from: Members) -> Result<Self, JwkError> {
        if PRIVATE.iter().any(|name| from.others.contains_key(*name)) {
            return Err(JwkError::NotPublic);
        }
        let bytes = |member: Option<Value>| {
            let text = member.as_ref().and_then(Value::as_str).ok_or(JwkError::Malformed)?;
            BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| JwkError::Malformed)
        };
        match (from.kty.as_str(), from.crv.as_ref().and_then(Value::as_str)) {
            ("OKP", Some("Ed25519")) => {
                Ok(Self::Okp { x: bytes(from.x)?.try_into().map_err(|_| JwkError::Malformed)? })
            }
            ("EC", Some(name)) => {
                let crv = [Curve::P256, Curve::P384]
                    .into_iter()
                    .find(|crv| crv.name() == name)
                    .ok_or(JwkError::UnknownType)?;
                let (x, y) = (bytes(from.x)?, bytes(from.y)?);
                if x.len() != crv.bytes() || y.len() != crv.bytes() {
                    return Err(JwkError::Malformed);
                }
                Ok(Self::Ec { crv, x, y })
            }
            ("RSA", _) => {
                let (n, e) = (bytes(from.n)?, bytes(from.e)?);
                let minimal = |number: &[u8]| number.first().is_some_and(|first| *first != 0);
                if !minimal(&n) || !minimal(&e) || !(256..=1024).contains(&n.len()) || e.len() > 8 {
                    return Err(JwkError::Malformed);
                }
                Ok(Self::Rsa { n, e })
            }
            _ => Err(JwkError::UnknownType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::P256SigningKey;

    fn read(json: &str) -> Result<Jwk, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_thumbprints_of_rfc_7638_and_rfc_8037_come_out_equal() {
        let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        assert_eq!(read(rsa).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let okp = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(read(okp).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn keys_go_there_and_back() {
        let p256 = P256SigningKey::make().unwrap().public();
        let json = serde_json::to_string(&p256.jwk()).unwrap();
        assert!(json.starts_with(r#"{"kty":"EC","crv":"P-256","x":""#), "{json}");
        assert_eq!(P256PublicKey::try_from(&read(&json).unwrap()), Ok(p256));
        let ed25519 = crate::Ed25519SigningKey::from_seed(&[1; 32]).unwrap().public();
        let json = serde_json::to_string(&ed25519.jwk()).unwrap();
        assert_eq!(Ed25519PublicKey::try_from(&read(&json).unwrap()), Ok(ed25519));
        assert_eq!(P256PublicKey::try_from(&ed25519.jwk()), Err(KeyError::Malformed));
        assert_eq!(Ed25519PublicKey::try_from(&p256.jwk()), Err(KeyError::Malformed));
    }

    #[test]
    fn private_weak_and_odd_keys_are_refused() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let d =
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}"#);
        assert!(read(&d).unwrap_err().contains("not public"));
        for bad in [
            String::from(r#"{"kty":"oct","k":"AAAA"}"#),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}="}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}AA"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{x}"}}"#),
            String::from(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#),
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, "A".repeat(344)),
            format!(r#"{{"kty":"OKP","kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_an_object_and_a_private_member_is_one_whatever_it_is() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let list = format!(r#"["OKP","Ed25519","{x}",null,null,null,null,null,null,null]"#);
        assert!(read(&list).is_err());
        assert!(serde_json::from_value::<Jwk>(serde_json::from_str(&list).unwrap()).is_err());
        for private in PRIVATE {
            let null = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","{private}":null}}"#);
            assert!(read(&null).unwrap_err().contains("not public"), "{null}");
        }
        let foreign = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","y":null,"n":5,"e":[],"kid":{{}}}}"#);
        assert_eq!(
            serde_json::to_value(read(&foreign).unwrap()).unwrap(),
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": x})
        );
        for bad in ["5", "null", r#"["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]"#] {
            assert!(read(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":{bad}}}"#)).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).{0,200}", value in "[A-Za-z0-9_=-]{0,90}", crv in "P-256|P-384|Ed25519|X", kty in "EC|OKP|RSA|oct") {
            let _ = read(&text);
            let json = format!(r#"{{"kty":"{kty}","crv":"{crv}","x":"{value}","y":"{value}","n":"{value}","e":"AQAB"}}"#);
            if let Ok(jwk) = read(&json) {
                let _ = (jwk.thumbprint(), crate::PublicKey::try_from(&jwk));
            }
        }
    }
}
