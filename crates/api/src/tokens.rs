//! Tokens with a life and claims of the program's choice.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    access::{Call, Role, RoleSet},
    tokens::{self, Wanted},
};
use chancery_middleware::{Authenticated, OptionalBody, Problem, ProvenKey};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    metrics::{TokenAct, TokenType},
    wiped,
};

/// What a program wants of its token.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    /// Some of the roles of the API key; all, if nothing is said.
    #[schema(value_type = Option<Vec<String>>)]
    roles: Option<Vec<Role>>,
    /// Its life: 5 to 15 minutes.
    #[schema(minimum = 5, maximum = 15)]
    lifetime_minutes: Option<u8>,
    /// What it says besides, in clear: at most 16 claims of 2048 bytes together, under names with a colon or a slash.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    claims: Map<String, Value>,
}

/// A token, its id and its end.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub(crate) struct IssuedTokenBody {
    /// An access token (RFC 9068), for `Authorization: Bearer`.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    access_token: Secret<String>,
    /// `Bearer`, or `DPoP` if it is bound to a key.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Its id: the handle for its revocation.
    jti: String,
    /// Its life in seconds.
    expires_in: i64,
    /// Its end.
    expires_at: String,
    /// Its roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
}

/// Issue an access token to the calling program.
///
/// As `client_credentials` at `/oauth2/token`, with a life and further claims. The caller is an API key without a user.
#[utoipa::path(post, path = "/v1/tokens", tag = "auth", request_body = Option<NewTokenBody>,
    responses((status = 201, description = "A token.", body = IssuedTokenBody)))]
pub(crate) async fn create_token(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    proven: ProvenKey,
    OptionalBody(body): OptionalBody<NewTokenBody>,
) -> Result<(StatusCode, Json<IssuedTokenBody>), Problem> {
    let roles = body.roles.as_deref().map(RoleSet::of);
    let wanted = Wanted { roles, minutes: body.lifetime_minutes, claims: body.claims };
    let call = Call { request: proven.on(&call.request), ..(*call).clone() };
    let issued = tokens::grant(&app.instance, &call, wanted).await.or_problem();
    app.metrics.token(if issued.is_ok() { TokenAct::issued } else { TokenAct::refused });
    let (token, roles) = issued?;
    app.metrics.issued(TokenType::access);
    let body = IssuedTokenBody {
        token_type: token.scheme(),
        access_token: token.text,
        jti: token.id.to_string(),
        expires_in: token.expires_in,
        expires_at: token.expires_at.to_string(),
        roles: roles.iter().collect(),
    };
    Ok((StatusCode::CREATED, Json(body)))
}
