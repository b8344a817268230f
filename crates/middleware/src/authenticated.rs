//! The caller of an operation. A handler without it runs for anybody.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use chancery_domain::{
    access::{
        Call, Caller, RefusedFor, RequestInfo,
        authenticate::{AuthenticateError, Presented, authenticate},
    },
    audit::refusals,
    tokens::{HeldKey, PresentedProof, check_proof},
};
use http::{HeaderMap, Method, request::Parts};
use serde::de::DeserializeOwned;

use crate::{Code, Exchange, Problem, SessionCookies, credentials, hints, limited, query};

/// A verified call of an operation without query parameters: any but a tenant's name is refused.
///
/// Comes first among a handler's parameters, so that nothing is told to strangers. Also compares the
/// tenant that headers and query name with the caller's.
pub struct Authenticated(pub Arc<Call>);

/// As [`Authenticated`], with the query's parameters as a `T`, which denies unknown fields.
pub struct Asked<T>(pub Arc<Call>, pub T);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (call, _) = verified(parts, &parts.method).await?;
        query::none(parts)?;
        Ok(Self(call))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (call, _) = verified(parts, &parts.method).await?;
        Ok(Self(call, query::read(parts)?))
    }
}

/// The call, and the credential that it is by. `method` is the one that counts for cookies: an upgrade does more than it says.
pub(crate) async fn verified(parts: &Parts, method: &Method) -> Result<(Arc<Call>, Presented), Problem> {
    let exchange = Exchange::of(parts)?;
    let cookies = SessionCookies::read(&parts.headers, method, exchange.instance().settings());
    let in_header = credentials::presented(&parts.headers, parts.method.as_str(), parts.uri.path())?;
    let mut in_cookies = cookies.access()?.into_iter();
    let query = parts.uri.query().unwrap_or_default();
    let presented = match (in_cookies.next(), in_header) {
        (None, None) => return Err(Code::CredentialMissing.into()),
        (None, Some(presented)) => {
            let call = admit(&exchange, &presented, &parts.headers, query).await?;
            return Ok((call, presented));
        }
        (Some(cookie), in_header) => (cookie, in_header),
    };
    let (presented, in_header) = presented;
    // The cookie is the caller. Whatever else comes along is verified too and must be the same one: bad never falls through.
    let caller = caller(&exchange, &presented).await?;
    for other in in_cookies.as_slice().iter().chain(&in_header) {
        let other = self::caller(&exchange, other).await?;
        if (other.tenant(), other.subject()) != (caller.tenant(), caller.subject()) {
            let [first, second] = [caller, other].map(|caller| exchange.call_of(caller));
            refusals::credential_conflict(exchange.instance(), &first, &second).await?;
            exchange.already_told();
            return Err(Code::CredentialConflict.into());
        }
    }
    let call = exchange.authenticated(exchange.call_of(caller));
    // No page can make a browser send a header with a credential: only cookies come by themselves.
    if in_header.is_none() {
        cookies.check_origin()?;
    }
    let call = compared(&exchange, call, &parts.headers, query).await?;
    Ok((call, presented))
}

/// Verifies a credential, and compares the tenant that headers and query name with its own.
pub(crate) async fn admit(
    exchange: &Arc<Exchange>,
    presented: &Presented,
    headers: &HeaderMap,
    query: &str,
) -> Result<Arc<Call>, Problem> {
    let call = exchange.authenticated(exchange.call_of(caller(exchange, presented).await?));
    compared(exchange, call, headers, query).await
}

async fn caller(exchange: &Exchange, presented: &Presented) -> Result<Caller, Problem> {
    let caller = authenticate(exchange.instance(), presented, exchange.info()).await;
    let bound = matches!(presented, Presented::BoundToken(..));
    let caller = caller.map_err(|error| refusal(exchange, error).bound(bound))?;
    // Before it is known as a call: who asks too often grows no log.
    limited::by_caller(exchange, &caller).await?;
    Ok(caller)
}

async fn compared(
    exchange: &Arc<Exchange>,
    call: Arc<Call>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Arc<Call>, Problem> {
    if let Some(place) = hints::elsewhere(&call, headers, query) {
        hints::mismatch(exchange, &call, place).await?;
    }
    Ok(call)
}

fn refusal(exchange: &Exchange, error: AuthenticateError) -> Problem {
    match error {
        // Why is for our log; the client learns only that it is not valid.
        AuthenticateError::Invalid(why, reason) => {
            exchange.refuse(why);
            tracing::info!(reason, "Refused a credential: {reason}");
            Problem::new(Code::CredentialInvalid)
        }
        AuthenticateError::Suspended(seconds) => {
            exchange.refuse(RefusedFor::Denied);
            Problem::new(Code::KeySuspended).retry_after(seconds)
        }
        AuthenticateError::Failed(failure) => failure.into(),
    }
}

/// The key that the client proves to hold (RFC 9449 §5): what it is given is bound to it.
pub struct ProvenKey(Option<HeldKey>);

impl<S: Send + Sync> FromRequestParts<S> for ProvenKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let exchange = Exchange::of(parts)?;
        let proof = credentials::proof(&parts.headers, parts.method.as_str(), parts.uri.path())?;
        proven(&exchange, proof).map(Self)
    }
}

impl ProvenKey {
    /// What is known of the request, this key with it.
    pub fn on(self, info: &RequestInfo) -> RequestInfo {
        RequestInfo { key: self.0, ..info.clone() }
    }
}

/// Checks a proof that came without a token.
pub(crate) fn proven(exchange: &Exchange, proof: Option<PresentedProof>) -> Result<Option<HeldKey>, Problem> {
    let held = proof.map(|proof| check_proof(exchange.instance(), &proof)).transpose();
    held.map_err(|reason| {
        tracing::info!(reason, "Refused a proof of a key: {reason}");
        Code::ProofInvalid.into()
    })
}
