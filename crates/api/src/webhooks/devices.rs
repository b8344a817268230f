//! Devices whose messages a source takes.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    ids::{WebhookDeviceId, WebhookSourceId},
    webhooks::{self, DeviceEnvironment, WebhookDevice},
};
use chancery_middleware::{Asked, Authenticated, Body, OptionalBody, PathOf, Problem};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    idempotency::Nothing,
    page::{self, ListBody, Page},
    wiped,
};

/// The longest body here: an attestation holds certificates and a receipt.
const MAX_BYTES: usize = 64 * 1024;

/// What a device is to answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDeviceChallenge)]
pub(crate) struct ChallengeBody {
    /// The challenge, in base64url. The client data hash of the attestation is SHA-256 of its bytes.
    challenge: String,
    /// Until when.
    expires_at: String,
}

/// What a device answered.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewWebhookDevice)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeviceBody {
    /// The challenge, as it was given.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    challenge: Vec<u8>,
    /// The attestation object, in base64url.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    attestation: Vec<u8>,
}

/// A device whose messages a source takes, or took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDevice)]
pub(crate) struct DeviceBody {
    /// Its id.
    id: String,
    /// What it calls its key, in base64, as its messages say it.
    key_id: String,
    /// In which of Apple's environments the key was made: `development` or `production`.
    #[schema(value_type = String)]
    environment: DeviceEnvironment,
    /// How far it has counted.
    counter: u32,
    /// Since when.
    enrolled_at: String,
    /// When a message of it was taken last.
    #[schema(required)]
    seen_at: Option<String>,
    /// Since when none is taken any more.
    #[schema(required)]
    revoked_at: Option<String>,
}

impl From<WebhookDevice> for DeviceBody {
    fn from(device: WebhookDevice) -> Self {
        Self {
            id: device.id.to_string(),
            key_id: BASE64.encode(&device.key_id),
            environment: device.environment,
            counter: device.counter,
            enrolled_at: device.enrolled_at.to_string(),
            seen_at: device.seen_at.map(|at| at.to_string()),
            revoked_at: device.revoked_at.map(|at| at.to_string()),
        }
    }
}

/// Begin enrolling a device with a source of Apple Health: what it is to attest its key over, within five minutes.
#[utoipa::path(post, path = "/v1/webhook-sources/{id}/device-challenges", tag = "webhooks",
    params(("id" = String, Path, description = "The source.")),
    responses((status = 200, description = "The challenge, good for one device, once.", body = ChallengeBody)))]
pub(crate) async fn challenge_webhook_device(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ChallengeBody>, Problem> {
    let made = webhooks::challenge_device(&app.instance, &call, id).await.or_problem()?;
    let (challenge, expires_at) = (BASE64URL_NOPAD.encode(&made.bytes), made.expires_at.to_string());
    Ok(Json(ChallengeBody { challenge, expires_at }))
}

/// Enroll a device with its App Attest attestation. Messages that it signs are taken from now on.
#[utoipa::path(post, path = "/v1/webhook-sources/{id}/devices", tag = "webhooks", request_body = NewDeviceBody,
    params(("id" = String, Path, description = "The source.")),
    responses((status = 201, description = "The device.", body = DeviceBody)))]
pub(crate) async fn enroll_webhook_device(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
    Body(body): Body<NewDeviceBody, MAX_BYTES>,
) -> Result<Response, Problem> {
    let NewDeviceBody { challenge, attestation } = body;
    let device = webhooks::enroll_device(&app.instance, &call, id, challenge, &attestation).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(DeviceBody::from(device))).into_response())
}

/// List the devices of a source in the order in which they were enrolled, revoked ones too.
#[utoipa::path(get, path = "/v1/webhook-sources/{id}/devices", tag = "webhooks",
    params(("id" = String, Path, description = "The source."), Page),
    responses((status = 200, description = "A page of them.", body = ListBody<DeviceBody>)))]
pub(crate) async fn list_webhook_devices(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
    PathOf(id): PathOf<WebhookSourceId>,
) -> Result<Json<ListBody<DeviceBody>>, Problem> {
    let (after, limit) = (page.after::<WebhookDeviceId>()?, page.limit()?);
    let found = webhooks::list_devices(&app.instance, &call, id, after, limit).await.or_problem()?;
    Ok(Json(page::list(found, limit, |device| device.id.to_string())))
}

/// Take no message of a device any more. Its key cannot be enrolled again.
#[utoipa::path(delete, path = "/v1/webhook-sources/{id}/devices/{device_id}", tag = "webhooks",
    params(("id" = String, Path, description = "The source."), ("device_id" = String, Path, description = "The device.")),
    responses((status = 204, description = "It is revoked.")))]
pub(crate) async fn revoke_webhook_device(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((id, device)): PathOf<(WebhookSourceId, WebhookDeviceId)>,
) -> Result<StatusCode, Problem> {
    webhooks::revoke_device(&app.instance, &call, id, device).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
