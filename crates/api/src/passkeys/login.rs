//! Logging in with a passkey: instead of a password, or after one.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::passkeys::{self, Registered};
use chancery_middleware::{Body, Problem, ProvenKey, Request, SessionCookies};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    MAX_BYTES, PasskeyBody,
    bodies::{AssertionBody, AttestationBody, OptionsBody},
};
use crate::{
    App,
    browser::{self, Delivered, GivenBody},
    error::{IntoProblem, LoginStep},
    factors::{CodeText, EnrolStepBody, stepped, texts, tokens},
    wiped,
};

/// Where to log in.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PasskeyLogin)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The tenant's short name or id: in which directory to look.
    #[schema(example = "northside")]
    tenant: String,
}

/// A login with a passkey.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasskeyLoginAnswer)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginAnswerBody {
    /// The tenant that the options were asked for.
    #[schema(example = "northside")]
    tenant: String,
    /// What the browser gave, by `toJSON()`.
    credential: AssertionBody,
    /// For browsers: puts the tokens into cookies that no script sees, and not into the answer.
    #[serde(default)]
    cookies: bool,
}

/// The second step of a login, with a passkey.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasskeyStep)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepBody {
    /// The `mfa_token` of the first step.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    mfa_token: Secret<String>,
    /// What the browser gave, by `toJSON()`.
    credential: AssertionBody,
    /// For browsers: puts the tokens into cookies that no script sees, and not into the answer.
    #[serde(default)]
    cookies: bool,
}

/// A first factor within a login.
#[derive(Deserialize, ToSchema)]
#[schema(as = EnrolPasskey)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolBody {
    /// The `mfa_token` of the first step.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    mfa_token: Secret<String>,
    /// What its user calls it: the device, 1 to 100 characters.
    #[schema(example = "blue key")]
    name: String,
    /// What the browser gave, by `toJSON()`.
    credential: AttestationBody,
    /// For browsers: puts the tokens into cookies that no script sees, and not into the answer.
    #[serde(default)]
    cookies: bool,
}

/// A login that registered a passkey.
#[derive(Serialize, ToSchema)]
#[schema(as = PasskeyEnrolledTokens)]
pub(crate) struct EnrolledBody {
    #[serde(flatten)]
    tokens: GivenBody,
    /// The passkey.
    passkey: PasskeyBody,
    /// Recovery codes, for the day the authenticator is lost. Shown once; each works once.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<CodeText>,
}

/// Begin a login with a passkey instead of a password.
#[utoipa::path(post, path = "/v1/auth/webauthn/options", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "What the browser needs.", body = OptionsBody)))]
pub(crate) async fn passkey_login_options(
    State(app): State<App>,
    _: Request,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Json<OptionsBody>, Problem> {
    let options = passkeys::begin_login(&app.instance, &body.tenant).await;
    Ok(Json(options.map_err(LoginStep).or_problem()?.into()))
}

/// Log in with a passkey instead of a password.
///
/// The browser finds it by itself, and verifies its user: that counts as two factors.
#[utoipa::path(post, path = "/v1/auth/webauthn/verify", tag = "auth", request_body = LoginAnswerBody,
    responses((status = 200, description = "Tokens.", body = GivenBody)))]
pub(crate) async fn login_with_passkey(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<LoginAnswerBody, MAX_BYTES>,
) -> Result<Delivered<GivenBody>, Problem> {
    let (info, answer) = (browser::arrival(&request, proven, body.cookies)?, body.credential.answer()?);
    let done = passkeys::login(&app.instance, &info, &body.tenant, &answer).await;
    tokens(&app, &request, &brought, body.cookies, done).await
}

/// Begin the second step of a login with a passkey.
#[utoipa::path(post, path = "/v1/auth/mfa/webauthn/options", tag = "auth", request_body = EnrolStepBody,
    responses((status = 200, description = "What the browser needs.", body = OptionsBody)))]
pub(crate) async fn passkey_step_options(
    State(app): State<App>,
    request: Request,
    Body(body): Body<EnrolStepBody, MAX_BYTES>,
) -> Result<Json<OptionsBody>, Problem> {
    let begun = passkeys::begin_step(&app.instance, request.0.info(), &body.mfa_token).await;
    Ok(Json(begun.map_err(LoginStep).or_problem()?.into()))
}

/// Finish a login with a passkey.
#[utoipa::path(post, path = "/v1/auth/mfa/webauthn/verify", tag = "auth", request_body = StepBody,
    responses((status = 200, description = "Tokens.", body = GivenBody)))]
pub(crate) async fn finish_with_passkey(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<StepBody, MAX_BYTES>,
) -> Result<Delivered<GivenBody>, Problem> {
    let (info, answer) = (browser::arrival(&request, proven, body.cookies)?, body.credential.answer()?);
    let done = passkeys::step(&app.instance, &info, &body.mfa_token, &answer).await;
    tokens(&app, &request, &brought, body.cookies, done).await
}

/// Begin to register a passkey within a login that waits for a first second factor.
#[utoipa::path(post, path = "/v1/auth/mfa/enroll/webauthn/options", tag = "auth", request_body = EnrolStepBody,
    responses((status = 200, description = "What the browser needs.", body = OptionsBody)))]
pub(crate) async fn enroll_passkey_options(
    State(app): State<App>,
    request: Request,
    Body(body): Body<EnrolStepBody, MAX_BYTES>,
) -> Result<Json<OptionsBody>, Problem> {
    let begun = passkeys::begin_in_login(&app.instance, request.0.info(), &body.mfa_token).await;
    Ok(Json(begun.map_err(LoginStep).or_problem()?.into()))
}

/// Register a passkey within a login that waits for a first second factor, and finish the login.
#[utoipa::path(post, path = "/v1/auth/mfa/enroll/webauthn/verify", tag = "auth", request_body = EnrolBody,
    responses((status = 200, description = "Tokens, the passkey and recovery codes.", body = EnrolledBody)))]
pub(crate) async fn enroll_passkey(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<EnrolBody, MAX_BYTES>,
) -> Result<Delivered<EnrolledBody>, Problem> {
    let (info, answer) = (browser::arrival(&request, proven, body.cookies)?, body.credential.answer()?);
    let done = passkeys::register_in_login(&app.instance, &info, &body.mfa_token, &body.name, &answer).await;
    let (tokens, Registered { passkey, recovery_codes }) = stepped(&app, done)?;
    let given = browser::begun(&app, &request.0, &brought, body.cookies, tokens).await?;
    Ok(given.map(|tokens| EnrolledBody { tokens, passkey: passkey.into(), recovery_codes: texts(recovery_codes) }))
}
