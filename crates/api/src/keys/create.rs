//! New keys, and what of a key changes.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    access::{Call, Permission},
    ids::{KeyId, UserId},
    instance::Failure,
    keyring::{self, AccessPolicy, KeyChange, KeyPurpose, KeyRef, KeyType, NewKey, ProviderKind},
};
use chancery_middleware::{Authenticated, Body, Code, Creation, PathOf, Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::KeyBody;
use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
};

/// What a new key shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    /// Its name: 1 to 255 characters.
    name: String,
    /// `aes_256`, `rsa_2048`, `rsa_4096`, `ec_p256`, `ec_p384` or `ed25519`.
    #[schema(value_type = String, example = "ec_p256")]
    r#type: KeyType,
    /// `encryption`, `signing`, `jwt`, `api_key`, `database`, `backup` or `hsm_wrapping`.
    #[schema(value_type = String, example = "signing")]
    purpose: KeyPurpose,
    /// `admin_only` (the default), `service_account`, `application`, `user_specific` or `public_read`.
    #[schema(value_type = Option<String>)]
    access_policy: Option<AccessPolicy>,
    /// The users that `user_specific` means.
    #[schema(value_type = Option<Vec<String>>)]
    allowed_users: Option<Vec<UserId>>,
    /// Where it shall live, such as `pkcs11`; wrapped in Chancery's own store if absent.
    #[schema(value_type = Option<String>)]
    provider: Option<ProviderKind>,
    /// The life of each of its versions in days, 1 to 3650; without end if absent.
    expires_in_days: Option<u32>,
    /// Whether it is rotated by itself.
    auto_rotate: Option<bool>,
    /// Days between two rotations, 30 to 365; required with `auto_rotate`.
    rotation_interval_days: Option<u32>,
}

/// What of a key shall be otherwise; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyChangeBody {
    /// Who may use it.
    #[schema(value_type = Option<String>)]
    access_policy: Option<AccessPolicy>,
    /// The users that `user_specific` means.
    #[schema(value_type = Option<Vec<String>>)]
    allowed_users: Option<Vec<UserId>>,
    /// The life of each new version in days, 1 to 3650.
    expires_in_days: Option<u32>,
    /// Whether it is rotated by itself.
    auto_rotate: Option<bool>,
    /// Days between two rotations, 30 to 365.
    rotation_interval_days: Option<u32>,
}

/// Make a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKeyBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The key with its first version.", body = KeyBody)))]
pub(crate) async fn create_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<NewKeyBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let once = match idempotency::begin(&app, &call, call.tenant(), key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    let new = NewKey {
        name: body.name,
        key_type: body.r#type,
        purpose: body.purpose,
        access_policy: body.access_policy.unwrap_or(AccessPolicy::AdminOnly),
        allowed_users: body.allowed_users.unwrap_or_default(),
        provider: body.provider,
        expires_in_days: body.expires_in_days,
        auto_rotate: body.auto_rotate.unwrap_or(false),
        rotation_interval_days: body.rotation_interval_days,
    };
    match keyring::create(&app.instance, &once, new).await.or_problem() {
        Ok(made) => Ok((StatusCode::CREATED, Json(KeyBody::from(made))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, call.tenant(), key.as_ref(), problem).await?;
            replay(&app, &call, id).await
        }
    }
}

/// The key that the same request made before.
pub(super) async fn replay(app: &App, call: &Call, id: KeyId) -> Result<Response, Problem> {
    call.require(Permission::KeysCreate).or_problem()?;
    let mut rows = app.instance.store().view(call.tenant()).await.map_err(Failure::from)?;
    let key = rows.key(id).await.map_err(Failure::from)?.ok_or(Code::NotFound)?;
    let versions = rows.key_versions(id).await.map_err(Failure::from)?;
    Ok(idempotency::replayed(StatusCode::CREATED, KeyBody::from(KeyRef { key, versions })))
}

/// Change who may use a key, how long its versions live, and when it rotates. Managed keys have a schedule only.
#[utoipa::path(patch, path = "/v1/keys/{id}", tag = "keys", request_body = KeyChangeBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyBody)))]
pub(crate) async fn update_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<KeyChangeBody>,
) -> Result<Json<KeyBody>, Problem> {
    let to = KeyChange {
        access_policy: body.access_policy,
        allowed_users: body.allowed_users,
        expires_in_days: body.expires_in_days,
        auto_rotate: body.auto_rotate,
        rotation_interval_days: body.rotation_interval_days,
    };
    Ok(Json(keyring::update(&app.instance, &call, id, to).await.or_problem()?.into()))
}
