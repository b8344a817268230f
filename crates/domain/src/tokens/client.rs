//! A program trades its API key for an access token (RFC 6749 §4.4), with a life and claims of its choice (ID-03).

use serde_json::{Map, Value};

use super::{AccessToken, Client, ProofError, issue_to_client, take};
use crate::{
    Instance,
    access::{Call, RoleSet, Subject},
    audit::{Detail, Event, EventKind, receipt::note},
    faults::Faults,
    instance::{Failure, fails},
};

/// How many minutes a token lives that names its life (ID-02).
const MINUTES: std::ops::RangeInclusive<u8> = 5..=15;
/// The most claims of a program's own, and how long they may be together.
const MAX_CLAIMS: usize = 16;
const MAX_CLAIMS_BYTES: usize = 2_048;

/// What a program wants of its token. By default: all roles of its key, the usual life, and nothing besides.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Some of the key's roles.
    pub roles: Option<RoleSet>,
    /// Its life in minutes: 5 to 15.
    pub minutes: Option<u8>,
    /// What it says besides, under names with a colon or a slash: nobody takes them for ours (RFC 7519 §4.2).
    pub claims: Map<String, Value>,
}

/// Why a client got no token.
#[derive(Debug, thiserror::Error)]
pub enum ClientGrantError {
    /// The caller is a person, acts as one, or has a token already: a token gives no longer life than its own.
    #[error("only the API key of a program gets a token")]
    NotAClient,
    /// It asks for roles that its key does not have, or for none.
    #[error("the roles are not within those of the key")]
    Roles,
    /// The proof of its key was used before.
    #[error("the proof of the key was used before")]
    Proof,
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ClientGrantError);

/// Gives a program an access token for its API key, and the roles that it has.
///
/// # Errors
///
/// [`ClientGrantError`].
pub async fn grant(
    instance: &Instance,
    call: &Call,
    wanted: Wanted,
) -> Result<(AccessToken, RoleSet), ClientGrantError> {
    let caller = &call.caller;
    let (Subject::ApiKey(api_key), None) = (caller.subject(), caller.token()) else {
        return Err(ClientGrantError::NotAClient);
    };
    check(&wanted)?;
    let roles = wanted.roles.unwrap_or(caller.roles());
    if roles.is_empty() || !roles.is_subset(caller.roles()) {
        return Err(ClientGrantError::Roles);
    }
    let (tenant, ends) = (call.tenant(), caller.expires_at());
    if let Some(held) = &call.request.key {
        match take(instance, tenant, held).await {
            Ok(()) => {}
            Err(ProofError::Invalid(_)) => return Err(ClientGrantError::Proof),
            Err(ProofError::Failed(failure)) => return Err(failure.into()),
        }
    }
    let key = call.request.key.as_ref().map(|held| held.thumbprint.clone());
    let (minutes, claims) = (wanted.minutes, wanted.claims);
    let client = Client { tenant, api_key, roles, ends, minutes, claims, key };
    let token = issue_to_client(instance, client).await?;
    let event = Event::new(EventKind::TokenIssued)
        .on("token", token.id)
        .with("kind", Detail::Code("access"))
        .with("roles", Detail::Names(roles.iter().map(|role| role.as_str().to_owned()).collect()))
        .with("expires_at", Detail::At(token.expires_at));
    note(instance, call, call.tenant(), event).await?;
    Ok((token, roles))
}

fn check(wanted: &Wanted) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if wanted.minutes.is_some_and(|minutes| !MINUTES.contains(&minutes)) {
        faults.add("/lifetime_minutes", "range", "use 5 to 15 minutes");
    }
    if wanted.claims.len() > MAX_CLAIMS {
        faults.add("/claims", "too_many", "use at most 16 claims");
    }
    if !wanted.claims.keys().all(|name| is_own_name(name)) {
        faults.add("/claims", "name", "names have 3 to 64 visible ASCII characters, a colon or a slash among them");
    }
    let length = serde_json::to_string(&wanted.claims).map_or(usize::MAX, |text| text.len());
    if length > MAX_CLAIMS_BYTES {
        faults.add("/claims", "length", "claims take at most 2048 bytes");
    }
    faults.check()
}

/// Whether a name cannot be one of a standard or of ours.
fn is_own_name(name: &str) -> bool {
    (3..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) && name.contains([':', '/'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(minutes: Option<u8>, claims: &Value) -> Vec<&'static str> {
        let wanted = Wanted { roles: None, minutes, claims: claims.as_object().cloned().unwrap_or_default() };
        check(&wanted).err().map(|faults| faults.0.iter().map(|fault| fault.code).collect()).unwrap_or_default()
    }

    #[test]
    fn a_life_is_within_bounds_and_a_claim_is_nobody_elses() {
        assert_eq!(codes(Some(5), &json!({"https://lab.test/device": 7, "lab:room": ["a"]})), [""; 0]);
        assert_eq!(codes(Some(15), &json!({})), [""; 0]);
        assert_eq!(codes(Some(4), &json!({})), ["range"]);
        assert_eq!(codes(Some(16), &json!({})), ["range"]);
        for ours in ["sub", "exp", "roles", "tenant_id", "cnf", "acr", "", "a:", "lab room:1", "lab:r\u{f6}m"] {
            assert_eq!(codes(None, &json!({ours: 1})), ["name"], "{ours}");
        }
        let many: Map<String, Value> = (0..17).map(|n| (format!("lab:{n}"), json!(1))).collect();
        assert_eq!(codes(None, &Value::Object(many)), ["too_many"]);
        assert_eq!(codes(None, &json!({"lab:x": "a".repeat(2_048)})), ["length"]);
    }
}
