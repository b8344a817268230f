//! Uses of a named key. Managed keys refuse all of them, whatever their bodies ask.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts as _, Request, State},
};
use chancery_crypto::{Phi, Secret};
use chancery_domain::{
    access::Call,
    ids::KeyId,
    keyring::{self, Algorithm, Operation, Used},
};
use chancery_middleware::{Authenticated, Body, Code, PathOf, Problem, UnreadBody};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, wiped};

/// A call that would use a key, the key, which is not one of Chancery's own, and what the call asks.
pub(crate) struct Named<B>(Arc<Call>, KeyId, B);

impl<B: FromRequest<App, Rejection = Problem>> FromRequest<App> for Named<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Authenticated(call) = Authenticated::from_request_parts(&mut parts, app).await?;
        let PathOf(id) = PathOf::<KeyId>::from_request_parts(&mut parts, app).await?;
        let verb = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let operation = verb.parse().map_or("export", Operation::as_str);
        let refused = keyring::keys::require_unmanaged(&app.instance, &call, id, operation).await.or_problem();
        let request = Request::from_parts(parts, body);
        if let Err(problem) = refused {
            // Nobody asks what the body says, but for the tenant that it names.
            UnreadBody::from_request(request, app).await?;
            return Err(problem);
        }
        Ok(Self(call, id, B::from_request(request, app).await?))
    }
}

/// What to sign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignBody {
    /// The message in base64url, at most 4 MiB.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    message: Vec<u8>,
    /// How: one of the key type's algorithms (`PS256`, `RS256`, `ES256`, `ES256-DER`, `ES384`, `ES384-DER`, `EdDSA`,
    /// `HS256`); the first of them if absent.
    #[schema(value_type = Option<String>)]
    algorithm: Option<Algorithm>,
}

/// A signature.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignatureBody {
    /// The signature in base64url.
    signature: String,
    /// The version that made it.
    key_id: String,
    /// Its number.
    version: u32,
    /// How.
    #[schema(value_type = String)]
    algorithm: Algorithm,
}

/// What to verify.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// The message in base64url, at most 4 MiB.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    message: Vec<u8>,
    /// The signature in base64url.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    signature: Vec<u8>,
    /// The version that is said to have made it; the newest one if absent.
    key_id: Option<String>,
    /// How; the first algorithm of the key's type if absent.
    #[schema(value_type = Option<String>)]
    algorithm: Option<Algorithm>,
}

/// Whether a signature verifies.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerifiedBody {
    /// Whether it does.
    valid: bool,
    /// The version that was asked.
    key_id: String,
    /// How.
    #[schema(value_type = String)]
    algorithm: Algorithm,
}

/// What to encrypt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptBody {
    /// The plaintext in base64url: at most 1 MiB for AES, 190 or 446 bytes for RSA of 2048 or 4096 bits.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    plaintext: Phi<Vec<u8>>,
    /// A text that the decryption must repeat, such as `patient/42`; at most 1024 bytes. For RSA the OAEP label.
    context: Option<String>,
}

/// A ciphertext.
#[derive(Serialize, ToSchema)]
pub(crate) struct CiphertextBody {
    /// The ciphertext in base64url.
    ciphertext: String,
    /// The version that made it.
    key_id: String,
    /// How.
    #[schema(value_type = String)]
    algorithm: Algorithm,
}

/// What to decrypt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecryptBody {
    /// The ciphertext in base64url.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    ciphertext: Vec<u8>,
    /// The context it was encrypted for.
    context: Option<String>,
    /// For RSA: the version it was encrypted to; the newest one if absent. A ciphertext of an AES key says it itself.
    key_id: Option<String>,
}

/// A plaintext.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlaintextBody {
    /// The plaintext in base64url.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    plaintext: Secret<String>,
    /// The version that opened it.
    key_id: String,
}

/// What to wrap.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrapBody {
    /// The key to wrap in base64url: at most 64 KiB for AES, 190 or 446 bytes for RSA of 2048 or 4096 bits.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    key: Secret<Vec<u8>>,
    /// A text that the unwrapping must repeat.
    context: Option<String>,
}

/// A wrapped key.
#[derive(Serialize, ToSchema)]
pub(crate) struct WrappedBody {
    /// The wrapped key in base64url.
    wrapped: String,
    /// The version that wraps it.
    key_id: String,
    /// How.
    #[schema(value_type = String)]
    algorithm: Algorithm,
}

/// What to unwrap.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnwrapBody {
    /// The wrapped key in base64url.
    #[serde(deserialize_with = "wiped::bytes")]
    #[schema(value_type = String)]
    wrapped: Vec<u8>,
    /// The context it was wrapped for.
    context: Option<String>,
    /// For RSA: the version it was wrapped to; the newest one if absent.
    key_id: Option<String>,
}

/// An unwrapped key.
#[derive(Serialize, ToSchema)]
pub(crate) struct UnwrappedBody {
    /// The key in base64url.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    key: Secret<String>,
    /// The version that unwrapped it.
    key_id: String,
}

/// Sign with a key's active version. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/sign", tag = "keys", request_body = SignBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The signature.", body = SignatureBody)))]
pub(crate) async fn sign(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<SignBody>>,
) -> Result<Json<SignatureBody>, Problem> {
    let Used { result, key_id, version, algorithm } =
        keyring::sign(&app.instance, &call, id, body.message, body.algorithm).await.or_problem()?;
    Ok(Json(SignatureBody { signature: BASE64URL_NOPAD.encode(&result), key_id, version, algorithm }))
}

/// Verify a signature with a version of a key that signs or has signed. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/verify", tag = "keys", request_body = VerifyBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "Whether it verifies.", body = VerifiedBody)))]
pub(crate) async fn verify(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<VerifyBody>>,
) -> Result<Json<VerifiedBody>, Problem> {
    let VerifyBody { message, signature, key_id, algorithm } = body;
    let verified = keyring::verify(&app.instance, &call, id, message, signature, key_id.as_deref(), algorithm).await;
    let Used { result: valid, key_id, algorithm, .. } = verified.or_problem()?;
    Ok(Json(VerifiedBody { valid, key_id, algorithm }))
}

/// Encrypt with a key's active version. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/encrypt", tag = "keys", request_body = EncryptBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The ciphertext.", body = CiphertextBody)))]
pub(crate) async fn encrypt(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<EncryptBody>>,
) -> Result<Json<CiphertextBody>, Problem> {
    let context = body.context.unwrap_or_default();
    let Used { result, key_id, algorithm, .. } =
        keyring::encrypt(&app.instance, &call, id, body.plaintext, context).await.or_problem()?;
    Ok(Json(CiphertextBody { ciphertext: BASE64URL_NOPAD.encode(&result), key_id, algorithm }))
}

/// Decrypt with a version of a key that encrypts or has encrypted. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/decrypt", tag = "keys", request_body = DecryptBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The plaintext.", body = PlaintextBody)))]
pub(crate) async fn decrypt(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<DecryptBody>>,
) -> Result<Json<PlaintextBody>, Problem> {
    let DecryptBody { ciphertext, context, key_id } = body;
    let context = context.unwrap_or_default();
    let opened = keyring::decrypt(&app.instance, &call, id, ciphertext, context, key_id.as_deref()).await;
    let Used { result, key_id, .. } = opened.or_problem()?;
    Ok(Json(PlaintextBody { plaintext: wiped::text(&result), key_id }))
}

/// Wrap another key with a key's active version. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/wrap", tag = "keys", request_body = WrapBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The wrapped key.", body = WrappedBody)))]
pub(crate) async fn wrap(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<WrapBody>>,
) -> Result<Json<WrappedBody>, Problem> {
    let context = body.context.unwrap_or_default();
    let Used { result, key_id, algorithm, .. } =
        keyring::wrap(&app.instance, &call, id, body.key, context).await.or_problem()?;
    Ok(Json(WrappedBody { wrapped: BASE64URL_NOPAD.encode(&result), key_id, algorithm }))
}

/// Unwrap a key with a version of a key that wraps or has wrapped. Managed keys refuse.
#[utoipa::path(post, path = "/v1/keys/{id}/unwrap", tag = "keys", request_body = UnwrapBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = UnwrappedBody)))]
pub(crate) async fn unwrap(
    State(app): State<App>,
    Named(call, id, Body(body)): Named<Body<UnwrapBody>>,
) -> Result<Json<UnwrappedBody>, Problem> {
    let UnwrapBody { wrapped, context, key_id } = body;
    let context = context.unwrap_or_default();
    let opened = keyring::unwrap(&app.instance, &call, id, wrapped, context, key_id.as_deref()).await;
    let Used { result, key_id, .. } = opened.or_problem()?;
    Ok(Json(UnwrappedBody { key: wiped::text(&result), key_id }))
}

/// Export a key's material: no key is ever given out in the clear.
#[utoipa::path(post, path = "/v1/keys/{id}/export", tag = "keys",
    params(("id" = String, Path, description = "The key.")))]
pub(crate) async fn export_key(_: Named<UnreadBody>) -> Problem {
    Problem::new(Code::AuthzDenied).detail("keys are not given out in the clear; back them up or escrow them instead")
}
