//! What anybody may know: the keys that verify our tokens, and where trust begins.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::IntoResponse};
use chancery_crypto::Jwk;
use chancery_domain::{
    access::Role,
    certificates::trust_file,
    tokens::{self, TokenAlgorithm},
};
use chancery_middleware::{Code, Problem, Request};
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

/// The public keys that verify access tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, description = "A JWK set.", content_type = "application/jwk-set+json", body = JwkSetBody)))]
pub(crate) async fn jwks(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    let keys = tokens::public_keys(&app.instance).await?;
    let keys = keys
        .into_iter()
        .filter_map(|(kid, key)| Some(JwkBody { alg: TokenAlgorithm::of(&key)?.as_str(), key, kid, r#use: "sig" }));
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, CACHED)];
    Ok((headers, Json(JwkSetBody { keys: keys.collect() })))
}

/// Where the endpoints are and what they take (RFC 8414 §2, OpenID Connect Discovery 1.0 §3).
#[derive(Serialize, ToSchema)]
#[schema(as = AuthorizationServer)]
pub(crate) struct MetadataBody {
    /// The issuer, to the letter as in `iss`.
    #[schema(example = "https://chancery.example")]
    issuer: String,
    /// Where tokens are given.
    token_endpoint: String,
    /// Where it is said what a token is.
    introspection_endpoint: String,
    /// Where tokens are revoked.
    revocation_endpoint: String,
    /// Where the keys are that verify tokens.
    jwks_uri: String,
    /// What is traded for tokens.
    grant_types_supported: [&'static str; 2],
    /// None: there is no authorization endpoint. Both standards want the member.
    response_types_supported: [&'static str; 0],
    /// How clients authenticate for tokens.
    token_endpoint_auth_methods_supported: [&'static str; 3],
    /// How clients authenticate to ask what a token is.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// How clients authenticate to revoke.
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// The roles: a program may ask for some of those that its API key has.
    #[schema(value_type = Vec<String>)]
    scopes_supported: Vec<Role>,
    /// A subject is the same for every client.
    subject_types_supported: [&'static str; 1],
    /// How access tokens are signed. There are no ID tokens; OpenID Connect wants the member.
    #[schema(value_type = Vec<String>)]
    id_token_signing_alg_values_supported: Vec<TokenAlgorithm>,
    /// By which algorithms clients prove their keys (RFC 9449 §5.1).
    #[schema(value_type = Vec<String>)]
    dpop_signing_alg_values_supported: &'static [TokenAlgorithm],
    /// What an access token may say.
    claims_supported: [&'static str; 14],
}

impl MetadataBody {
    fn of(issuer: &str, algorithms: Vec<TokenAlgorithm>) -> Self {
        let at = |path: &str| format!("{issuer}{path}");
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: at("/oauth2/token"),
            introspection_endpoint: at("/oauth2/introspect"),
            revocation_endpoint: at("/oauth2/revoke"),
            jwks_uri: at("/.well-known/jwks.json"),
            grant_types_supported: ["client_credentials", "refresh_token"],
            response_types_supported: [],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
            introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
            revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
            scopes_supported: Role::ALL.to_vec(),
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
            dpop_signing_alg_values_supported: TokenAlgorithm::ALL,
            claims_supported: [
                "iss",
                "aud",
                "sub",
                "client_id",
                "iat",
                "exp",
                "jti",
                "tenant_id",
                "username",
                "roles",
                "type",
                "sid",
                "amr",
                "auth_time",
            ],
        }
    }
}

async fn metadata(app: &App) -> Result<impl IntoResponse + use<>, Problem> {
    let mut algorithms: Vec<TokenAlgorithm> = Vec::new();
    for (_, key) in tokens::public_keys(&app.instance).await? {
        algorithms.extend(TokenAlgorithm::of(&key).filter(|algorithm| !algorithms.contains(algorithm)));
    }
    let body = MetadataBody::of(&app.instance.settings().issuer, algorithms);
    Ok(([(header::CACHE_CONTROL, CACHED)], Json(body)))
}

/// Where the endpoints are and how tokens are signed, for OpenID Connect clients.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "auth",
    responses((status = 200, description = "The metadata.", body = MetadataBody)))]
pub(crate) async fn openid_configuration(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    metadata(&app).await
}

/// Where the endpoints are and how tokens are signed, for OAuth clients.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "auth",
    responses((status = 200, description = "The metadata.", body = MetadataBody)))]
pub(crate) async fn authorization_server(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    metadata(&app).await
}

/// Who gives tokens for this API, and how they are presented (RFC 9728 §2).
#[derive(Serialize, ToSchema)]
#[schema(as = ProtectedResource)]
pub(crate) struct ProtectedResourceBody {
    /// The API: the audience of its tokens.
    #[schema(example = "https://chancery.example")]
    resource: String,
    /// Who gives tokens for it: Chancery itself.
    authorization_servers: [String; 1],
    /// The roles that a token may have.
    #[schema(value_type = Vec<String>)]
    scopes_supported: Vec<Role>,
    /// Tokens come in the `Authorization` header.
    bearer_methods_supported: [&'static str; 1],
}

/// Who gives tokens for this API, for OAuth clients that know only its address.
#[utoipa::path(get, path = "/.well-known/oauth-protected-resource", tag = "auth",
    responses((status = 200, description = "The metadata.", body = ProtectedResourceBody)))]
pub(crate) async fn protected_resource(State(app): State<App>, _: Request) -> impl IntoResponse {
    let issuer = &app.instance.settings().issuer;
    let body = ProtectedResourceBody {
        resource: issuer.clone(),
        authorization_servers: [issuer.clone()],
        scopes_supported: Role::ALL.to_vec(),
        bearer_methods_supported: ["header"],
    };
    ([(header::CACHE_CONTROL, CACHED)], Json(body))
}

/// Where trust in packs begins: the platform's trust keys. No tenant is in it.
#[utoipa::path(get, path = "/.well-known/chancery-trust.json", tag = "certificates",
    responses((status = 200, description = "The trust file, canonical JSON.", content_type = "application/json", body = Object)))]
pub(crate) async fn trust(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    let file = app.trust_file.of(async { Ok(Arc::from(trust_file(&app.instance).await?)) }).await?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, CACHED)], file.to_vec()))
}

/// Whom to tell of a weakness (RFC 9116), if the operator says so and still stands behind it.
#[utoipa::path(get, path = "/.well-known/security.txt", tag = "operations",
    responses((status = 200, description = "Contacts.", content_type = "text/plain; charset=utf-8", body = String)))]
pub(crate) async fn security_txt(State(app): State<App>, _: Request) -> Result<impl IntoResponse, Problem> {
    let file = app.security_txt.as_ref().filter(|file| app.instance.now() < file.expires);
    let text = file.ok_or(Problem::new(Code::NotFound))?.text.to_string();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, CACHED)], text))
}
