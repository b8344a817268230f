//! Creating twice with one `Idempotency-Key` gives one thing.

use std::str::FromStr;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    TenantId,
    access::Call,
    idempotency::{ClaimError, Turn, claim},
};
use chancery_middleware::{Code, Problem, RequestKey};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::App;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A body without fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Whether something is still to be made.
pub(crate) enum Once<T> {
    /// Yes, by this call.
    Make(Box<Call>),
    /// No: this was made before.
    Made(T),
}

/// Looks whether this request was done before. Without a key it never was.
pub(crate) async fn begin<T: FromStr>(
    app: &App,
    call: &Call,
    target: TenantId,
    key: Option<&RequestKey>,
) -> Result<Once<T>, Problem> {
    let Some(sent) = key else { return Ok(Once::Make(Box::new(call.clone()))) };
    match claim(&app.instance, call, target, &sent.key, &sent.body).await {
        Ok(Turn::First(claim)) => Ok(Once::Make(Box::new(Call { once: Some(claim), ..call.clone() }))),
        Ok(Turn::Again(id)) => id.parse().map(Once::Made).map_err(|_| Code::IdempotencyMismatch.into()),
        Err(ClaimError::AnotherRequest) => Err(Code::IdempotencyMismatch.into()),
        Err(ClaimError::Failed(failure)) => Err(failure.into()),
    }
}

/// What the same request made while this one failed with `problem`: of two at once, one makes and one finds it made.
pub(crate) async fn made_meanwhile<T: FromStr>(
    app: &App,
    call: &Call,
    target: TenantId,
    key: Option<&RequestKey>,
    problem: Problem,
) -> Result<T, Problem> {
    if !matches!(problem.code(), Code::StateConflict | Code::Taken) {
        return Err(problem);
    }
    match begin(app, call, target, key).await? {
        Once::Made(id) => Ok(id),
        Once::Make(_) => Err(problem),
    }
}

/// The resource that was made before, without its secret.
pub(crate) fn replayed(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(REPLAYED, HeaderValue::from_static("true"))], Json(body)).into_response()
}
