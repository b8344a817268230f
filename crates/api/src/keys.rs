//! Cryptographic keys: their versions, states and public halves.

use axum::{Json, extract::State};
use chancery_domain::{
    access::Call,
    ids::KeyId,
    keyring::{self, AccessPolicy, KeyPurpose, KeyRef, KeyState, KeyType, KeyVersion, Managed},
};
use chancery_middleware::{Asked, Authenticated, Code, OptionalBody, PathOf, Problem, UnreadBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    idempotency::Nothing,
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
        }
    }
}

impl From<KeyRef> for KeyBody {
    fn from(found: KeyRef) -> Self {
        let newest = found.newest();
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

/// Add a version to a key. What is sealed and signed opens and verifies on.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", tag = "keys",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key with its new version.", body = KeyBody)))]
pub(crate) async fn rotate_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(keyring::rotate(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Every key is managed so far, and a managed key takes no bytes of callers.
async fn refuse(app: &App, call: &Call, id: KeyId) -> Problem {
    match keyring::keys::require_unmanaged(&app.instance, call, id).await.or_problem() {
        Err(problem) => problem,
        Ok(_) => Problem::new(Code::StateConflict).detail("this key cannot be used so yet"),
    }
}

/// Sign with a key. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/sign", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn sign(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    _: UnreadBody,
) -> Problem {
    refuse(&app, &call, id).await
}

/// Verify a signature with a key. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/verify", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn verify(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    _: UnreadBody,
) -> Problem {
    refuse(&app, &call, id).await
}

/// Encrypt with a key. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/encrypt", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn encrypt(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    _: UnreadBody,
) -> Problem {
    refuse(&app, &call, id).await
}

/// Decrypt with a key. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/decrypt", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn decrypt(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    _: UnreadBody,
) -> Problem {
    refuse(&app, &call, id).await
}

/// Export a key's material. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/export", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn export_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    _: UnreadBody,
) -> Problem {
    refuse(&app, &call, id).await
}
