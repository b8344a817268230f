//! Cryptographic keys: their versions, states and public halves.

pub(crate) mod create;
pub(crate) mod import;
pub(crate) mod lifecycle;
pub(crate) mod public;
pub(crate) mod usage;
pub(crate) mod uses;

use axum::{Json, extract::State};
use chancery_domain::{
    ids::{KeyId, UserId},
    keyring::{
        self, AccessPolicy, BackupState, KeyOrigin, KeyPurpose, KeyRef, KeyState, KeyType, KeyVersion, Managed,
        ProviderKind, RevocationReason, StoredMaterial,
    },
};
use chancery_middleware::{Asked, Authenticated, OptionalBody, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody},
};

/// A key. Its state, key id and version are those of its newest version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyBody {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What it is, such as `ed25519`.
    #[schema(value_type = String)]
    r#type: KeyType,
    /// What it is for, such as `signing`.
    #[schema(value_type = String)]
    purpose: KeyPurpose,
    /// Set for keys that Chancery made for itself: certificate, log, data, index, subject, audit, token.
    #[schema(required, value_type = Option<String>)]
    managed: Option<Managed>,
    /// Who may use it.
    #[schema(value_type = String)]
    access_policy: AccessPolicy,
    /// The users that the policy `user_specific` means.
    #[schema(value_type = Vec<String>)]
    allowed_users: Vec<UserId>,
    /// `generated` or `imported`.
    #[schema(value_type = String)]
    origin: KeyOrigin,
    /// The provider that its new versions live in; none for those that Chancery keeps wrapped.
    #[schema(required, value_type = Option<String>)]
    provider: Option<ProviderKind>,
    /// How many days each of its versions lives.
    #[schema(required)]
    expires_in_days: Option<u32>,
    /// When its newest version's time is over.
    #[schema(required)]
    expires_at: Option<String>,
    /// Whether it is rotated by itself.
    auto_rotate: bool,
    /// How many days lie between two rotations.
    #[schema(required)]
    rotation_interval_days: Option<u32>,
    /// When it was last rotated.
    #[schema(required)]
    last_rotated_at: Option<String>,
    /// Whether it is linked to a key in an HSM or KMS.
    hsm_integrated: bool,
    /// How that one is called there.
    #[schema(required)]
    hsm_key_id: Option<String>,
    /// What kind of provider that is.
    #[schema(required, value_type = Option<String>)]
    hsm_provider: Option<ProviderKind>,
    /// Whether a backup of it was written and read back.
    is_backed_up: bool,
    /// Its last backup, verified or only claimed by an import.
    #[schema(required)]
    backup: Option<BackupBody>,
    /// How often it was used; each use is in `/usage`.
    uses: u64,
    /// When it was last used.
    #[schema(required)]
    last_used_at: Option<String>,
    /// Its state.
    #[schema(required, value_type = Option<String>)]
    state: Option<KeyState>,
    /// Thumbprint of its public JWK (RFC 7638), or a `kv_` id.
    #[schema(required)]
    key_id: Option<String>,
    /// Its newest version.
    #[schema(required)]
    version: Option<u32>,
    /// Since when.
    created_at: String,
    /// All its versions, oldest first.
    versions: Vec<KeyVersionBody>,
}

/// The last backup of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyBackup)]
pub(crate) struct BackupBody {
    /// `verified` if it was read back, `claimed` if an import said that there is one.
    #[schema(value_type = String)]
    state: BackupState,
    /// The newest version that it holds.
    #[schema(required)]
    version: Option<u32>,
    /// Where it is.
    #[schema(required)]
    location: Option<String>,
    /// When it was made.
    #[schema(required)]
    at: Option<String>,
    /// Who made it.
    #[schema(required)]
    by: Option<String>,
}

/// One version of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyVersion)]
pub(crate) struct KeyVersionBody {
    /// 1, 2, 3…
    version: u32,
    /// Thumbprint of its public JWK (RFC 7638), or a `kv_` id.
    key_id: String,
    /// What it may do.
    #[schema(value_type = String)]
    state: KeyState,
    /// Its name inside sealed values, in hex.
    handle: String,
    /// Since when it exists.
    created_at: String,
    /// Since when it seals and signs.
    #[schema(required)]
    activated_at: Option<String>,
    /// Since when it does no more.
    #[schema(required)]
    retired_at: Option<String>,
    /// The `key_id` of the version before.
    #[schema(required)]
    previous: Option<String>,
    /// The `key_id` of the version after.
    #[schema(required)]
    next: Option<String>,
    /// The public half (RFC 7517).
    #[schema(required, value_type = Option<Object>)]
    public_jwk: Option<chancery_crypto::Jwk>,
    /// `wrapped` under the tenant key, `resident` in a provider, or `destroyed`.
    material: &'static str,
    /// When its time is over.
    #[schema(required)]
    expires_at: Option<String>,
    /// While its deletion is pending: when it is destroyed.
    #[schema(required)]
    deletion_due_at: Option<String>,
    /// Why it was revoked.
    #[schema(required, value_type = Option<String>)]
    revoked_reason: Option<RevocationReason>,
    /// The index of the log up to which certificates under it stay valid although it was revoked.
    #[schema(required)]
    last_valid_index: Option<u64>,
    /// How often it was used.
    uses: u64,
}

impl From<KeyVersion> for KeyVersionBody {
    fn from(version: KeyVersion) -> Self {
        Self {
            version: version.version,
            key_id: version.key_id,
            state: version.state,
            handle: version.handle.to_hex(),
            created_at: version.created_at.to_string(),
            activated_at: version.activated_at.map(|at| at.to_string()),
            retired_at: version.retired_at.map(|at| at.to_string()),
            previous: version.previous,
            next: version.next,
            public_jwk: version.public_jwk,
            material: match (version.state, version.material) {
                (KeyState::Destroyed, _) => "destroyed",
                (_, StoredMaterial::Wrapped { .. }) => "wrapped",
                (_, StoredMaterial::Resident { .. }) => "resident",
            },
            expires_at: version.expires_at.map(|at| at.to_string()),
            deletion_due_at: version.deletion_due_at.map(|at| at.to_string()),
            revoked_reason: version.revocation.map(|revocation| revocation.reason),
            last_valid_index: version.revocation.and_then(|revocation| revocation.last_valid_index),
            uses: version.uses,
        }
    }
}

impl From<KeyRef> for KeyBody {
    fn from(found: KeyRef) -> Self {
        let newest = found.newest().cloned();
        let newest = newest.as_ref();
        Self {
            id: found.key.id.to_string(),
            state: newest.map(|version| version.state),
            key_id: newest.map(|version| version.key_id.clone()),
            version: newest.map(|version| version.version),
            name: found.key.name,
            r#type: found.key.key_type,
            purpose: found.key.purpose,
            managed: found.key.managed,
            access_policy: found.key.access_policy,
            allowed_users: found.key.allowed_users,
            origin: found.key.origin,
            provider: found.key.provider,
            expires_in_days: found.key.expires_in_days,
            expires_at: newest.and_then(|version| version.expires_at).map(|at| at.to_string()),
            auto_rotate: found.key.auto_rotate,
            rotation_interval_days: found.key.rotation_interval_days,
            last_rotated_at: found.key.last_rotated_at.map(|at| at.to_string()),
            hsm_integrated: found.key.hsm.is_some(),
            hsm_key_id: found.key.hsm.as_ref().map(|link| link.key_id.to_string()),
            hsm_provider: found.key.hsm.as_ref().map(|link| link.provider),
            is_backed_up: found.key.backup.as_ref().is_some_and(|backup| backup.state == BackupState::Verified),
            backup: found.key.backup.map(|backup| BackupBody {
                state: backup.state,
                version: backup.version,
                location: backup.location,
                at: backup.at.map(|at| at.to_string()),
                by: backup.by,
            }),
            uses: found.versions.iter().map(|version| version.uses).sum(),
            last_used_at: found
                .versions
                .iter()
                .filter_map(|version| version.last_used_at)
                .max()
                .map(|at| at.to_string()),
            created_at: found.key.created_at.to_string(),
            versions: found.versions.into_iter().map(KeyVersionBody::from).collect(),
        }
    }
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// Only the key that Chancery made for this use, such as `certificate`.
    #[param(value_type = Option<String>)]
    managed: Option<Managed>,
    /// How many items at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List keys.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(KeyQuery),
    responses((status = 200, description = "A page of keys.", body = ListBody<KeyBody>)))]
pub(crate) async fn list_keys(
    State(app): State<App>,
    Asked(call, query): Asked<KeyQuery>,
) -> Result<Json<ListBody<KeyBody>>, Problem> {
    let page = page::Page { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let found = keyring::list(&app.instance, &call, query.managed, page.after()?, limit).await.or_problem()?;
    let mut list = page::list(found, limit, |found: &KeyRef| found.key.id.to_string());
    if query.managed.is_some() {
        list.next_cursor = None;
    }
    Ok(Json(list))
}

/// Get one key.
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody)))]
pub(crate) async fn get_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(keyring::get(&app.instance, &call, id).await.or_problem()?.into()))
}

/// As what a key goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RotateKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// Of the key that signs certificates alone: `ed25519` or `ec_p256`; in a provider `ec_p256`, `rsa_2048` or `rsa_4096`. Absent, the
    /// type stays.
    #[schema(value_type = Option<String>)]
    r#type: Option<KeyType>,
    /// Of the key that signs certificates alone: the provider that its new version lives in, such as `pkcs11`, and never leaves. Absent
    /// and without `type`, it stays where it is; absent with `type`, Chancery keeps it wrapped.
    #[schema(value_type = Option<String>)]
    provider: Option<ProviderKind>,
}

/// Add a version to a key. What is sealed and signed opens and verifies on.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", tag = "keys",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key with its new version.", body = KeyBody)))]
pub(crate) async fn rotate_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(RotateBody { r#type, provider }): OptionalBody<RotateBody>,
) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(keyring::rotate(&app.instance, &call, id, r#type, provider).await.or_problem()?.into()))
}
