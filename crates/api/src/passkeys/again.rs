//! A passkey as proof that a person is still there.

use axum::{Json, extract::State};
use chancery_domain::passkeys;
use chancery_middleware::{Authenticated, Body, OptionalBody, Problem, SessionCookies};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    MAX_BYTES,
    bodies::{AssertionBody, OptionsBody},
};
use crate::{
    App,
    browser::Delivered,
    error::IntoProblem,
    idempotency::Nothing,
    sessions::{FreshTokenBody, fresh},
};

/// How a person proves again who it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasskeyReauthentication)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofBody {
    /// What the browser gave, by `toJSON()`.
    credential: AssertionBody,
}

/// Begin to prove again who one is, with a passkey.
#[utoipa::path(post, path = "/v1/auth/reauthenticate/webauthn/options", tag = "auth",
    responses((status = 200, description = "What the browser needs.", body = OptionsBody)))]
pub(crate) async fn passkey_reauthentication_options(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<OptionsBody>, Problem> {
    Ok(Json(passkeys::begin_again(&app.instance, &call).await.or_problem()?.into()))
}

/// Prove again who one is, with a passkey and no password: its user was verified.
///
/// After five wrong tries the session ends.
#[utoipa::path(post, path = "/v1/auth/reauthenticate/webauthn/verify", tag = "auth", request_body = ProofBody,
    responses((status = 200, description = "A fresh token.", body = FreshTokenBody)))]
pub(crate) async fn reauthenticate_with_passkey(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    brought: SessionCookies,
    Body(body): Body<ProofBody, MAX_BYTES>,
) -> Result<Delivered<FreshTokenBody>, Problem> {
    let answer = body.credential.answer()?;
    fresh(&app, &brought, passkeys::again(&app.instance, &call, &answer).await)
}
