//! The caller of an operation. A handler without it runs for anybody.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use chancery_domain::{
    Instance,
    access::{
        Call, RefusedFor,
        authenticate::{AuthenticateError, Presented, authenticate},
    },
};
use http::{HeaderMap, request::Parts};
use serde::de::DeserializeOwned;

use crate::{Code, Exchange, Problem, credentials, hints, query};

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
        let call = verified(parts).await?;
        query::none(parts)?;
        Ok(Self(call))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let call = verified(parts).await?;
        Ok(Self(call, query::read(parts)?))
    }
}

async fn verified(parts: &Parts) -> Result<Arc<Call>, Problem> {
    let exchange = Exchange::of(parts)?;
    let presented = credentials::presented(&parts.headers)?.ok_or(Code::CredentialMissing)?;
    admit(&exchange, &presented, &parts.headers, parts.uri.query().unwrap_or_default()).await
}

/// Verifies a credential, and compares the tenant that headers and query name with its own.
pub(crate) async fn admit(
    exchange: &Arc<Exchange>,
    presented: &Presented,
    headers: &HeaderMap,
    query: &str,
) -> Result<Arc<Call>, Problem> {
    let caller = authenticate(exchange.instance(), presented, exchange.info()).await;
    let caller = caller.map_err(|error| refusal(exchange.instance(), error))?;
    let call = exchange.authenticated(Call { caller, request: exchange.info().clone(), once: None });
    if let Some(place) = hints::elsewhere(&call, headers, query) {
        hints::mismatch(exchange, &call, place).await?;
    }
    Ok(call)
}

fn refusal(instance: &Instance, error: AuthenticateError) -> Problem {
    match error {
        // Why is for our log; the client learns only that it is not valid.
        AuthenticateError::Invalid(reason) => {
            instance.refused_credentials().count(RefusedFor::of(reason));
            tracing::info!(reason, "Refused a credential: {reason}");
            Problem::new(Code::CredentialInvalid)
        }
        AuthenticateError::Failed(failure) => failure.into(),
    }
}
