//! What anybody may know: the keys that verify our tokens, and where trust begins.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::IntoResponse};
use chancery_crypto::{Curve, Jwk};
use chancery_domain::{certificates::trust_file, tokens};
use chancery_middleware::{Problem, Request};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, cached::Cached};

/// The trust file as it was a moment ago.
pub(crate) type TrustFile = Cached<Result<Arc<[u8]>, Problem>>;

/// Makes the file at most once in five seconds: strangers may ask.
pub(crate) fn trust_file_cache() -> TrustFile {
    Cached::new(Duration::from_secs(5))
}

const CACHED: &str = "public, max-age=300";

/// Public keys (RFC 7517).
#[derive(Serialize, ToSchema)]
#[schema(as = JwkSet)]
pub(crate) struct JwkSetBody {
    /// At most three.
    keys: Vec<JwkBody>,
}

/// A public key (RFC 7517).
#[derive(Serialize, ToSchema)]
#[schema(as = Jwk)]
pub(crate) struct JwkBody {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    key: Jwk,
    /// Its RFC 7638 thumbprint.
    kid: String,
    /// Always `sig`.
    #[schema(example = "sig")]
    r#use: &'static str,
    /// What it verifies.
    #[schema(example = "ES256")]
    alg: &'static str,
}

const fn algorithm(key: &Jwk) -> &'static str {
    match key {
        Jwk::Okp { .. } => "EdDSA",
        Jwk::Ec { crv: Curve::P256, .. } => "ES256",
        Jwk::Ec { crv: Curve::P384, .. } => "ES384",
        Jwk::Rsa { .. } => "RS256",
    }
}

/// The public keys that verify access tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, description = "A JWK set.", content_type = "application/jwk-set+json", body = JwkSetBody)))]
pub(crate) async fn jwks(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    let keys = tokens::public_keys(&app.instance).await?;
    let keys = keys.into_iter().map(|(kid, key)| JwkBody { alg: algorithm(&key), key, kid, r#use: "sig" });
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, CACHED)];
    Ok((headers, Json(JwkSetBody { keys: keys.collect() })))
}

/// Where trust in packs begins: the platform's trust keys. No tenant is in it.
#[utoipa::path(get, path = "/.well-known/chancery-trust.json", tag = "certificates",
    responses((status = 200, description = "The trust file, canonical JSON.", content_type = "application/json", body = Object)))]
pub(crate) async fn trust(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    let file = app.trust_file.of(async { Ok(Arc::from(trust_file(&app.instance).await?)) }).await?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, CACHED)], file.to_vec()))
}
