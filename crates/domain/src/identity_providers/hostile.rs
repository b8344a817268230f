//! What strangers send, taken apart with nothing around it: the doors that `fuzz/` presses. Nobody else comes in here.

use chancery_crypto::PublicKey;
use serde_json::{Map, Value};

use super::{AudienceClaim, ForeignAlgorithm, Profile, judge::audiences, jws::Foreign, key_set::KeySet, verify};

/// A token that was taken apart, and what it would be taken for.
#[derive(Debug)]
pub struct Token {
    /// All of its header.
    pub header: Map<String, Value>,
    /// All that it claims.
    pub claims: Map<String, Value>,
    /// What is signed.
    pub signed: String,
    /// By this.
    pub signature: Vec<u8>,
    /// Its algorithm, if that is taken, and the id of its key; nothing if its header is refused.
    pub addressed: Option<(Option<ForeignAlgorithm>, String)>,
    /// For whom it says it is, and where.
    pub audiences: Vec<(AudienceClaim, String)>,
    /// By whose rules it is an access token, and whose.
    pub kinds: Vec<(Profile, Option<String>)>,
}

/// Whether a token says that it is somebody else's.
pub fn is_foreign(text: &str, own_issuer: &str) -> bool {
    verify::is_foreign(text, own_issuer)
}

/// Takes a token apart.
pub fn token(text: &str) -> Option<Token> {
    let token = Foreign::parse(text).ok()?;
    let header = token.header().ok();
    let addressed = header.map(|header| (ForeignAlgorithm::named(header.alg), header.kid.to_owned()));
    let of = |claim: &AudienceClaim| {
        let claim = *claim;
        audiences(&token, claim).into_iter().map(move |audience| (claim, audience.to_owned()))
    };
    let issuer = token.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let kind = |profile: &&Profile| profile.check_kind(issuer, &token.claims).is_ok();
    Some(Token {
        addressed,
        audiences: AudienceClaim::ALL.iter().flat_map(of).collect(),
        kinds: Profile::ALL.iter().filter(kind).map(|profile| (*profile, profile.subject(&token.claims))).collect(),
        signed: token.signed.to_owned(),
        signature: token.signature,
        header: token.header,
        claims: token.claims,
    })
}

/// Reads a key set and shows its keys: id, the only algorithm if there is one, the key. `false` if it is none.
pub fn key_set(body: &[u8], mut see: impl FnMut(&str, Option<ForeignAlgorithm>, &PublicKey)) -> bool {
    match KeySet::parse(body) {
        Ok(keys) => {
            keys.iter().for_each(|(kid, alg, public)| see(kid, alg, public));
            true
        }
        Err(_) => false,
    }
}
