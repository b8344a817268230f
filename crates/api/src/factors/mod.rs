//! Second factors of people: the second half of a login, and what a person does with its own.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    factors::{self, Enrolment, FactorError, Factors},
    ids::UserId,
    sessions::SessionTokens,
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem, ProvenKey, Request, SessionCookies};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    browser::{self, Delivered, GivenBody},
    error::{IntoProblem, LoginStep},
    idempotency::Nothing,
    metrics::LoginOutcome,
    wiped,
};

mod qr;

/// The longest body here: strangers send it.
const MAX_BYTES: usize = 4 * 1024;

/// The second step of a login.
#[derive(Deserialize, ToSchema)]
#[schema(as = SecondStep)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondStepBody {
    /// The `mfa_token` of the first step.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    mfa_token: Secret<String>,
    /// The code.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String, example = "123456")]
    code: Secret<String>,
    /// For browsers: puts the tokens into cookies that no script sees, and not into the answer.
    #[serde(default)]
    cookies: bool,
}

/// A login that waits for a first second factor.
#[derive(Deserialize, ToSchema)]
#[schema(as = EnrolStep)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolStepBody {
    /// The `mfa_token` of the first step.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    pub(crate) mfa_token: Secret<String>,
}

/// A code of the caller's authenticator.
#[derive(Deserialize, ToSchema)]
#[schema(as = OneTimeCode)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeBody {
    /// Six digits.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String, example = "123456")]
    code: Secret<String>,
}

/// What new recovery codes cost.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = NewRecoveryCodes)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCodesBody {
    /// Six digits; not of whoever has shown a passkey in the last ten minutes, by the login or by `/v1/auth/reauthenticate/webauthn`.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>, example = "123456")]
    code: Option<Secret<String>>,
}

/// What an authenticator needs; shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrolment)]
pub(crate) struct EnrolmentBody {
    /// The secret in base 32, for those who type it.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    secret: Secret<String>,
    /// The same as a provisioning URI.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String, example = "otpauth://totp/…")]
    otpauth_uri: Secret<String>,
    /// The URI as a QR code: an SVG element.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<String>)]
    qr_svg: Option<Secret<String>>,
}

impl From<Enrolment> for EnrolmentBody {
    fn from(enrolment: Enrolment) -> Self {
        let qr_svg = qr::svg(&enrolment.uri);
        Self { secret: enrolment.secret, otpauth_uri: enrolment.uri, qr_svg }
    }
}

/// A code among secrets that are shown once.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct CodeText(#[serde(serialize_with = "wiped::shown")] Secret<String>);

pub(crate) fn texts(codes: Vec<Secret<String>>) -> Vec<CodeText> {
    codes.into_iter().map(CodeText).collect()
}

/// Recovery codes, for the day the authenticator is lost. Shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
pub(crate) struct RecoveryCodesBody {
    /// Each works once.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<CodeText>,
}

/// A login that enrolled a second factor.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrolledTokens)]
pub(crate) struct EnrolledTokensBody {
    #[serde(flatten)]
    tokens: GivenBody,
    /// Recovery codes, for the day the authenticator is lost. Shown once; each works once.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<CodeText>,
}

/// The caller's second factors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Factors)]
pub(crate) struct FactorsBody {
    /// Whether one-time codes are enrolled.
    totp: bool,
    /// Since when.
    #[schema(required)]
    totp_since: Option<String>,
    /// How many passkeys are registered.
    passkeys: usize,
    /// How many recovery codes are left.
    recovery_codes_left: usize,
    /// Whether a role of the caller needs a second factor.
    required: bool,
}

impl From<Factors> for FactorsBody {
    fn from(factors: Factors) -> Self {
        Self {
            totp: factors.totp_since.is_some(),
            totp_since: factors.totp_since.map(|at| at.to_string()),
            passkeys: factors.passkeys,
            recovery_codes_left: factors.recovery_codes,
            required: factors.required,
        }
    }
}

/// Whether a user had second factors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResetFactors)]
pub(crate) struct ResetBody {
    /// Whether there was one.
    removed: bool,
}

/// Counts how a second step went.
pub(crate) fn stepped<T>(app: &App, done: Result<T, FactorError>) -> Result<T, Problem> {
    app.metrics.logged_in(match &done {
        Ok(_) => LoginOutcome::success,
        Err(FactorError::Failed(_)) => LoginOutcome::failed,
        Err(_) => LoginOutcome::refused,
    });
    done.map_err(LoginStep).or_problem()
}

/// Hands over the tokens of a login, counted.
pub(crate) async fn tokens(
    app: &App,
    request: &Request,
    brought: &SessionCookies,
    cookies: bool,
    done: Result<SessionTokens, FactorError>,
) -> Result<Delivered<GivenBody>, Problem> {
    browser::begun(app, &request.0, brought, cookies, stepped(app, done)?).await
}

/// Finish a login with a one-time code.
#[utoipa::path(post, path = "/v1/auth/mfa/totp", tag = "auth", request_body = SecondStepBody,
    responses((status = 200, description = "Tokens.", body = GivenBody)))]
pub(crate) async fn login_with_totp(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<SecondStepBody, MAX_BYTES>,
) -> Result<Delivered<GivenBody>, Problem> {
    let info = browser::arrival(&request, proven, body.cookies)?;
    let done = factors::finish_with_code(&app.instance, &info, &body.mfa_token, body.code.expose()).await;
    tokens(&app, &request, &brought, body.cookies, done).await
}

/// Finish a login with a recovery code, which is used up.
#[utoipa::path(post, path = "/v1/auth/mfa/recovery-code", tag = "auth", request_body = SecondStepBody,
    responses((status = 200, description = "Tokens.", body = GivenBody)))]
pub(crate) async fn login_with_recovery_code(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<SecondStepBody, MAX_BYTES>,
) -> Result<Delivered<GivenBody>, Problem> {
    let info = browser::arrival(&request, proven, body.cookies)?;
    let done = factors::finish_with_recovery_code(&app.instance, &info, &body.mfa_token, body.code.expose()).await;
    tokens(&app, &request, &brought, body.cookies, done).await
}

/// Begin to enrol a second factor within a login that waits for one.
#[utoipa::path(post, path = "/v1/auth/mfa/enroll", tag = "auth", request_body = EnrolStepBody,
    responses((status = 200, description = "What an authenticator needs.", body = EnrolmentBody)))]
pub(crate) async fn enroll_in_login(
    State(app): State<App>,
    request: Request,
    Body(body): Body<EnrolStepBody, MAX_BYTES>,
) -> Result<Json<EnrolmentBody>, Problem> {
    let begun = factors::begin_in_login(&app.instance, request.0.info(), &body.mfa_token).await;
    Ok(Json(begun.map_err(LoginStep).or_problem()?.into()))
}

/// Enrol a second factor by a first code, and finish the login.
#[utoipa::path(post, path = "/v1/auth/mfa/enroll/confirm", tag = "auth", request_body = SecondStepBody,
    responses((status = 200, description = "Tokens and recovery codes.", body = EnrolledTokensBody)))]
pub(crate) async fn confirm_in_login(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<SecondStepBody, MAX_BYTES>,
) -> Result<Delivered<EnrolledTokensBody>, Problem> {
    let info = browser::arrival(&request, proven, body.cookies)?;
    let done = factors::confirm_in_login(&app.instance, &info, &body.mfa_token, body.code.expose()).await;
    let (tokens, codes) = stepped(&app, done)?;
    let given = browser::begun(&app, &request.0, &brought, body.cookies, tokens).await?;
    Ok(given.map(|tokens| EnrolledTokensBody { tokens, recovery_codes: texts(codes) }))
}

/// The caller's second factors.
#[utoipa::path(get, path = "/v1/me/mfa", tag = "auth",
    responses((status = 200, description = "Its second factors.", body = FactorsBody)))]
pub(crate) async fn my_factors(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<FactorsBody>, Problem> {
    Ok(Json(factors::read(&app.instance, &call).await.or_problem()?.into()))
}

/// Begin to enrol one-time codes for the caller.
#[utoipa::path(post, path = "/v1/me/mfa/totp", tag = "auth",
    responses((status = 200, description = "What an authenticator needs.", body = EnrolmentBody)))]
pub(crate) async fn begin_totp(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<EnrolmentBody>, Problem> {
    Ok(Json(factors::begin(&app.instance, &call).await.or_problem()?.into()))
}

/// Enrol the caller's one-time codes by a first code.
#[utoipa::path(post, path = "/v1/me/mfa/totp/confirm", tag = "auth", request_body = CodeBody,
    responses((status = 200, description = "Recovery codes.", body = RecoveryCodesBody)))]
pub(crate) async fn confirm_totp(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<CodeBody, MAX_BYTES>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let codes = factors::confirm(&app.instance, &call, body.code.expose()).await.or_problem()?;
    Ok(Json(RecoveryCodesBody { recovery_codes: texts(codes) }))
}

/// Remove the caller's one-time codes, for one of them, unless they are the last second factor and a role needs one.
#[utoipa::path(post, path = "/v1/me/mfa/totp/remove", tag = "auth", request_body = CodeBody,
    responses((status = 204, description = "Removed.")))]
pub(crate) async fn remove_totp(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<CodeBody, MAX_BYTES>,
) -> Result<StatusCode, Problem> {
    factors::remove(&app.instance, &call, body.code.expose()).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the caller's recovery codes, for a one-time code, or after a fresh proof by a passkey.
#[utoipa::path(post, path = "/v1/me/recovery-codes/regenerate", tag = "auth", request_body = Option<NewCodesBody>,
    responses((status = 200, description = "Recovery codes.", body = RecoveryCodesBody)))]
pub(crate) async fn regenerate_recovery_codes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(body): OptionalBody<NewCodesBody, MAX_BYTES>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let code = body.code.as_ref().map(|code| code.expose().as_str());
    let codes = factors::make_codes(&app.instance, &call, code).await.or_problem()?;
    Ok(Json(RecoveryCodesBody { recovery_codes: texts(codes) }))
}

/// Remove the second factors of a user who lost them, and end its sessions.
#[utoipa::path(post, path = "/v1/users/{id}/reset-mfa", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "Whether there was one.", body = ResetBody)))]
pub(crate) async fn reset_factors(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ResetBody>, Problem> {
    let removed = factors::reset(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(ResetBody { removed }))
}
