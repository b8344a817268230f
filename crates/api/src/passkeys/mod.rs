//! Passkeys: what a person does with its own.

use axum::{Json, extract::State};
use chancery_domain::{
    ids::PasskeyId,
    passkeys::{self, Passkey, Registered},
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    factors::{CodeText, texts},
    idempotency::Nothing,
    page::ListBody,
};

pub(crate) mod again;
mod bodies;
pub(crate) mod login;

use bodies::{AttestationBody, OptionsBody};

/// The longest body here: an attestation may hold certificates.
const MAX_BYTES: usize = 128 * 1024;

/// A passkey.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Passkey)]
pub(crate) struct PasskeyBody {
    /// Its id.
    id: String,
    /// What its user calls it.
    name: String,
    /// Since when.
    created_at: String,
    /// When it was used last.
    #[schema(required)]
    last_used_at: Option<String>,
    /// Whether it may live on more than one device.
    backup_eligible: bool,
    /// Whether it does, by what it said last.
    backed_up: bool,
    /// The model of its authenticator (AAGUID), if it was told.
    #[schema(required)]
    aaguid: Option<String>,
    /// Whether its maker's certificate was verified.
    attested: bool,
    /// How browsers reach its authenticator.
    transports: Vec<String>,
}

impl From<Passkey> for PasskeyBody {
    fn from(passkey: Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            name: passkey.name,
            created_at: passkey.created_at.to_string(),
            last_used_at: passkey.last_used_at.map(|at| at.to_string()),
            backup_eligible: passkey.backup_eligible,
            backed_up: passkey.backed_up,
            aaguid: (passkey.aaguid != [0; 16]).then(|| uuid(&passkey.aaguid)),
            attested: passkey.attested,
            transports: passkey.transports,
        }
    }
}

/// In groups of 8, 4, 4, 4 and 12 digits (RFC 9562 §4).
fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = data_encoding::HEXLOWER.encode(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// A new passkey.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredPasskey)]
pub(crate) struct RegisteredBody {
    #[serde(flatten)]
    passkey: PasskeyBody,
    /// If it is the first second factor: recovery codes, for the day the authenticator is lost. Shown once.
    #[schema(value_type = Vec<String>)]
    recovery_codes: Vec<CodeText>,
}

impl From<Registered> for RegisteredBody {
    fn from(registered: Registered) -> Self {
        Self { passkey: registered.passkey.into(), recovery_codes: texts(registered.recovery_codes) }
    }
}

/// A credential to register.
#[derive(Deserialize, ToSchema)]
#[schema(as = RegisterPasskey)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    /// What its user calls it: the device, 1 to 100 characters.
    #[schema(example = "blue key")]
    name: String,
    /// What the browser gave, by `toJSON()`.
    credential: AttestationBody,
}

/// A passkey's name.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RenamePasskey)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameBody {
    /// The device: 1 to 100 characters.
    #[schema(example = "blue key")]
    name: String,
}

/// Begin to register a passkey of the caller.
#[utoipa::path(post, path = "/v1/me/webauthn/registrations/options", tag = "auth",
    responses((status = 200, description = "What the browser needs.", body = OptionsBody)))]
pub(crate) async fn begin_passkey(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<OptionsBody>, Problem> {
    Ok(Json(passkeys::begin(&app.instance, &call).await.or_problem()?.into()))
}

/// Register a passkey of the caller.
#[utoipa::path(post, path = "/v1/me/webauthn/registrations/verify", tag = "auth", request_body = RegisterBody,
    responses((status = 201, description = "The passkey.", body = RegisteredBody)))]
pub(crate) async fn register_passkey(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<RegisterBody, MAX_BYTES>,
) -> Result<(StatusCode, Json<RegisteredBody>), Problem> {
    let answer = body.credential.answer()?;
    let made = passkeys::register(&app.instance, &call, &body.name, &answer).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// List the caller's passkeys.
#[utoipa::path(get, path = "/v1/me/webauthn/credentials", tag = "auth",
    responses((status = 200, description = "Its passkeys, oldest first.", body = ListBody<PasskeyBody>)))]
pub(crate) async fn list_passkeys(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<PasskeyBody>>, Problem> {
    let found = passkeys::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(Into::into).collect(), next_cursor: None }))
}

/// Give one of the caller's passkeys another name.
#[utoipa::path(patch, path = "/v1/me/webauthn/credentials/{id}", tag = "auth", request_body = RenameBody,
    params(("id" = String, Path, description = "The passkey.")),
    responses((status = 200, description = "The passkey.", body = PasskeyBody)))]
pub(crate) async fn rename_passkey(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<PasskeyId>,
    Body(body): Body<RenameBody, MAX_BYTES>,
) -> Result<Json<PasskeyBody>, Problem> {
    Ok(Json(passkeys::rename(&app.instance, &call, id, &body.name).await.or_problem()?.into()))
}

/// Remove one of the caller's passkeys, unless it is the last second factor and a role needs one.
#[utoipa::path(delete, path = "/v1/me/webauthn/credentials/{id}", tag = "auth",
    params(("id" = String, Path, description = "The passkey.")),
    responses((status = 204, description = "Removed.")))]
pub(crate) async fn remove_passkey(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<PasskeyId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    passkeys::remove(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_model_is_written_as_others_write_it() {
        let bytes = [0xcb, 0x69, 0x48, 0x1e, 0x8f, 0xf7, 0x40, 0x39, 0x93, 0xec, 0x0a, 0x27, 0x29, 0xa1, 0x54, 0xa8];
        assert_eq!(super::uuid(&bytes), "cb69481e-8ff7-4039-93ec-0a2729a154a8");
    }
}
