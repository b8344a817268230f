//! Keys of other systems.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    Faults, Timestamp,
    ids::UserId,
    keyring::{
        self, AccessPolicy, ImportedBackup, ImportedKey, ImportedMaterial, ImportedState, ImportedVersion, KeyPurpose,
    },
};
use chancery_middleware::{Authenticated, Creation, Problem};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{KeyBody, create::replay};
use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
    wiped,
};

/// A key of another system.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportedKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportBody {
    /// Its name: 1 to 255 characters.
    name: String,
    /// `encryption`, `signing`, `jwt`, `api_key`, `database`, `backup` or `hsm_wrapping`; `signing` for a private key and
    /// `encryption` for an AES key if absent.
    #[schema(value_type = Option<String>)]
    purpose: Option<KeyPurpose>,
    /// `admin_only` (the default), `service_account`, `application`, `user_specific` or `public_read`.
    #[schema(value_type = Option<String>)]
    access_policy: Option<AccessPolicy>,
    /// The users that `user_specific` means.
    #[schema(value_type = Option<Vec<String>>)]
    allowed_users: Option<Vec<UserId>>,
    /// Whether it is rotated by itself from now on.
    auto_rotate: Option<bool>,
    /// Days between two rotations, 30 to 365; required with `auto_rotate`.
    rotation_interval_days: Option<u32>,
    /// A backup that the other system says there is. Kept as `claimed`: nobody read it back.
    backup: Option<ImportedBackupBody>,
    /// Its versions, oldest first; only the last one may be active.
    versions: Vec<ImportedVersionBody>,
}

/// What another system says of a backup.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportedBackup)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportedBackupBody {
    /// Where it is.
    location: Option<String>,
    /// When it was made.
    #[schema(value_type = Option<String>)]
    at: Option<Timestamp>,
}

/// One version as another system had it: `pem` or `key`.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportedVersion)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportedVersionBody {
    /// A private key as PEM (PKCS#8, PKCS#1 or SEC 1), not encrypted.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    pem: Option<Secret<String>>,
    /// The 32 bytes of an AES key, in base64url.
    #[serde(default, deserialize_with = "wiped::bytes_if_any")]
    #[schema(value_type = Option<String>)]
    key: Option<Secret<Vec<u8>>>,
    /// `active`, `rotated`, `inactive`, `rotating`, `expired`, `revoked` or `pending_deletion`.
    #[schema(value_type = String)]
    state: ImportedState,
    /// Since when.
    #[schema(value_type = Option<String>)]
    created_at: Option<Timestamp>,
    /// Until when.
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
}

fn versions(bodies: Vec<ImportedVersionBody>) -> Result<Vec<ImportedVersion>, Problem> {
    let mut faults = Faults::default();
    let mut versions = Vec::with_capacity(bodies.len());
    for (position, body) in bodies.into_iter().enumerate() {
        let material = match (body.pem, body.key) {
            (Some(pem), None) => ImportedMaterial::Pem(pem),
            (None, Some(key)) => ImportedMaterial::Bytes(key),
            _ => {
                faults.add(format!("/versions/{position}"), "required", "give either pem or key");
                continue;
            }
        };
        let (state, created_at, expires_at) = (body.state, body.created_at, body.expires_at);
        versions.push(ImportedVersion { material, state, created_at, expires_at });
    }
    faults.check().map_err(Problem::invalid)?;
    Ok(versions)
}

/// Import a key of another system. What was superseded there verifies and opens, and never signs.
#[utoipa::path(post, path = "/v1/keys/import", tag = "keys", request_body = ImportBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The key with its versions.", body = KeyBody)))]
pub(crate) async fn import_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<ImportBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let once = match idempotency::begin(&app, &call, call.tenant(), key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    let brought = ImportedKey {
        name: body.name,
        purpose: body.purpose,
        access_policy: body.access_policy.unwrap_or(AccessPolicy::AdminOnly),
        allowed_users: body.allowed_users.unwrap_or_default(),
        auto_rotate: body.auto_rotate.unwrap_or(false),
        rotation_interval_days: body.rotation_interval_days,
        backup: body.backup.map(|backup| ImportedBackup { location: backup.location, at: backup.at }),
        versions: versions(body.versions)?,
    };
    match keyring::import(&app.instance, &once, brought).await.or_problem() {
        Ok(made) => Ok((StatusCode::CREATED, Json(KeyBody::from(made))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, call.tenant(), key.as_ref(), problem).await?;
            replay(&app, &call, id).await
        }
    }
}
