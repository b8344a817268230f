//! An issuer's public keys, those of them that can verify.

use chancery_crypto::{Jwk, PublicKey};
use serde_json::Value;

use super::{ForeignAlgorithm, fetch::FetchError};
use crate::records::Tree;

/// More keys than these nobody needs.
const MAX_KEYS: usize = 50;
/// The longest `kid`.
const MAX_KID: usize = 255;

/// A key for signatures.
#[derive(Debug)]
struct ForeignKey {
    kid: String,
    /// The only algorithm, if the issuer says so.
    alg: Option<ForeignAlgorithm>,
    public: PublicKey,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<ForeignKey>);

impl KeySet {
    /// Reads a JWK set (RFC 7517 §5).
    ///
    /// Keys that verify nothing here are read over: for encryption, symmetric, private, too short, without `kid`, of an
    /// algorithm that is not taken. A set without any other is an error, so that nothing good is thrown away for it.
    pub(super) fn parse(body: &[u8]) -> Result<Self, FetchError> {
        let malformed = FetchError::Malformed;
        let text = std::str::from_utf8(body).map_err(|_| malformed("a key set is UTF-8"))?;
        drop(Tree::parse(text).map_err(|_| malformed("a key set is JSON without double keys"))?);
        let set: Value = serde_json::from_str(text).map_err(|_| malformed("a key set is JSON"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(malformed("a key set has keys"))?;
        if keys.len() > MAX_KEYS {
            return Err(malformed("more than 50 keys"));
        }
        let usable: Vec<ForeignKey> = keys.iter().filter_map(usable).collect();
        if usable.is_empty() { Err(malformed("no key for signatures")) } else { Ok(Self(usable)) }
    }

    /// Whether there is a key with this id.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// The key with this id that makes such signatures.
    pub(super) fn find(&self, kid: &str, algorithm: ForeignAlgorithm) -> Option<&PublicKey> {
        let fits = |key: &&ForeignKey| {
            key.kid == kid && key.alg.is_none_or(|only| only == algorithm) && algorithm.fits(&key.public)
        };
        self.0.iter().find(fits).map(|key| &key.public)
    }

    /// All of them: id, the only algorithm if there is one, the key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<ForeignAlgorithm>, &PublicKey)> {
        self.0.iter().map(|key| (key.kid.as_str(), key.alg, &key.public))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn usable(key: &Value) -> Option<ForeignKey> {
    let kid = key.get("kid")?.as_str().filter(|kid| (1..=MAX_KID).contains(&kid.len()))?;
    if key.get("use").is_some_and(|r#use| r#use != "sig") {
        return None;
    }
    let verifies = |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"));
    if key.get("key_ops").is_some_and(|operations| !verifies(operations)) {
        return None;
    }
    let alg = match key.get("alg") {
        None => None,
        Some(alg) => Some(ForeignAlgorithm::named(alg.as_str()?)?),
    };
    // Refuses private members, symmetric keys and RSA below 2048 bits.
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let public = PublicKey::try_from(&jwk).ok()?;
    // One that could make no signature of its only algorithm would never be found, and must not be all that is left of a set.
    if alg.is_some_and(|alg| !alg.fits(&public)) {
        return None;
    }
    Some(ForeignKey { kid: kid.to_owned(), alg, public })
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{KeyMaterial, KeyType, SystemRandom};
    use serde_json::json;

    use super::*;

    fn rsa() -> Value {
        let key = KeyMaterial::generate(KeyType::Rsa2048, &SystemRandom).unwrap();
        serde_json::to_value(key.public().unwrap().jwk()).unwrap()
    }

    fn with(mut key: Value, members: &[(&str, Value)]) -> Value {
        key["kid"] = json!("a");
        members.iter().for_each(|(name, value)| key[*name] = value.clone());
        key
    }

    fn parsed(keys: &[Value]) -> Result<KeySet, FetchError> {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn a_key_says_what_it_is_for() {
        let rsa = rsa();
        let set = parsed(&[with(rsa.clone(), &[])]).unwrap();
        assert!(set.find("a", ForeignAlgorithm::Rs256).is_some() && set.find("a", ForeignAlgorithm::Ps256).is_some());
        assert!(set.find("a", ForeignAlgorithm::Es256).is_none() && set.find("b", ForeignAlgorithm::Rs256).is_none());
        let set =
            parsed(&[with(rsa.clone(), &[("alg", json!("RS256")), ("use", json!("sig")), ("x5c", json!(["x"]))])]);
        let set = set.unwrap();
        assert!(set.find("a", ForeignAlgorithm::Rs256).is_some() && set.find("a", ForeignAlgorithm::Ps256).is_none());
        for members in [
            [("use", json!("enc"))],
            [("use", json!(null))],
            [("alg", json!("RSA-OAEP"))],
            [("alg", json!("HS256"))],
            [("alg", json!("ES256"))],
            [("alg", json!("none"))],
            [("alg", json!(7))],
            [("key_ops", json!(["encrypt"]))],
            [("kid", json!(""))],
            [("kid", json!(7))],
            [("d", json!("AQAB"))],
            [("kty", json!("oct"))],
        ] {
            assert!(parsed(&[with(rsa.clone(), &members)]).is_err(), "{members:?}");
            // Beside a good one it does no harm.
            let set = parsed(&[with(rsa.clone(), &members), with(rsa.clone(), &[("kid", json!("good"))])]).unwrap();
            assert_eq!(set.len(), 1, "{members:?}");
        }
    }

    #[test]
    fn a_set_that_is_none_is_an_error() {
        let rsa = rsa();
        let short = json!({"kty": "RSA", "kid": "a", "e": "AQAB", "n": "z".repeat(171)});
        let symmetric = json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"});
        let no_kid = {
            let mut key = with(rsa.clone(), &[]);
            key.as_object_mut().unwrap().remove("kid");
            key
        };
        for keys in [vec![], vec![short], vec![symmetric], vec![no_kid], vec![json!(7)]] {
            assert!(parsed(&keys).is_err(), "{keys:?}");
        }
        let many: Vec<Value> = (0..=MAX_KEYS).map(|n| with(rsa.clone(), &[("kid", json!(n.to_string()))])).collect();
        assert!(parsed(&many[1..]).is_ok());
        assert_eq!(parsed(&many).unwrap_err(), FetchError::Malformed("more than 50 keys"));
        for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
