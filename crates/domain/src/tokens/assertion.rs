//! Assertions: what an application is told, signed, of a request that goes on to it (ADR 0031).
//!
//! The keys are those of access tokens, so that one key set serves both; the type keeps the two apart (RFC 8725 §3.11): neither
//! verifies where the other is wanted.

use chancery_crypto::{Secret, sha256};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::issue::signed;
use crate::{
    Instance,
    access::{AuthMethod, Caller},
    ids::{RequestId, TenantId},
    instance::Failure,
    sessions::Amr,
};

/// The type in `typ`.
const TYPE: &str = "auth-assertion+jwt";
/// For how long an assertion is good: on its way from us to an application beside us.
pub const ASSERTION_SECONDS: i64 = 60;

/// A request that goes on to an application.
#[derive(Debug, Clone, Copy)]
pub struct Onward<'a> {
    /// Its id: also the assertion's, so that an application's log and ours speak of the same.
    pub request: RequestId,
    /// What the application is called.
    pub audience: &'a str,
    /// Who calls; none where a route lets strangers in. Then the assertion says only which way the request came.
    pub caller: Option<&'a Caller>,
    /// Its method.
    pub method: &'a str,
    /// Its path as it is sent, without the query.
    pub path: &'a str,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: RequestId,
    request: String,
    #[serde(flatten)]
    caller: Option<Asserted<'a>>,
}

/// Who calls, on the wire. No name and no address: an application's log may keep an assertion.
#[derive(Serialize)]
struct Asserted<'a> {
    sub: String,
    tenant_id: TenantId,
    tenant: &'a str,
    roles: Vec<&'a str>,
    auth: AuthMethod,
    #[serde(skip_serializing_if = "<[Amr]>::is_empty")]
    amr: &'a [Amr],
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

/// Signs the assertion of a request.
///
/// # Errors
///
/// [`Failure`].
pub async fn assert_onward(instance: &Instance, onward: &Onward<'_>) -> Result<Secret<String>, Failure> {
    let iat = instance.now().as_seconds();
    let assertion = Assertion {
        iss: &instance.settings().issuer,
        aud: onward.audience,
        iat,
        exp: iat + ASSERTION_SECONDS,
        jti: onward.request,
        request: request_hash(onward.method, onward.path),
        caller: onward.caller.map(Asserted::of),
    };
    signed(instance, TYPE, &assertion).await.map(Secret::new)
}

impl<'a> Asserted<'a> {
    fn of(caller: &'a Caller) -> Self {
        let proof = caller.authentication();
        let defined = caller.defined_roles().iter().map(String::as_str);
        Self {
            sub: caller.subject().to_string(),
            tenant_id: caller.tenant(),
            tenant: caller.tenant_slug(),
            roles: caller.roles().iter().map(|role| role.as_str()).chain(defined).collect(),
            auth: caller.auth(),
            amr: proof.map_or(&[], |proof| &proof.methods),
            auth_time: proof.map(|proof| proof.at.as_seconds()),
        }
    }
}

/// What binds an assertion to its request.
fn request_hash(method: &str, path: &str) -> String {
    BASE64URL_NOPAD.encode(&sha256(format!("{method}\n{path}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_verifiers() {
        // printf 'GET\n/api/patients/1' | openssl dgst -sha256 -binary | basenc --base64url; also in sdk/python/tests.
        assert_eq!(request_hash("GET", "/api/patients/1"), "W2cTwcCHBT2yFTpG4JHt-4n4oL7QU6gvF1hw6MA2SD8");
    }
}
