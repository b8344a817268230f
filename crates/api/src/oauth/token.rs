//! `POST /oauth2/token`.

use std::sync::Arc;

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    access::{Call, RoleSet},
    sessions,
    tokens::{self, ClientGrantError, Wanted},
};
use chancery_middleware::{Form, OAuthCode, OAuthError};
use serde::Serialize;
use utoipa::ToSchema;

use super::{of_grant, of_refresh};
use crate::{
    App,
    metrics::{TokenAct, TokenType},
    wiped,
};

/// What is traded for a token.
#[derive(ToSchema)]
#[schema(as = TokenRequest)]
#[expect(dead_code, reason = "describes a form; it is read parameter by parameter")]
pub(crate) struct TokenForm {
    /// `client_credentials` or `refresh_token`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    /// With `refresh_token`: the newest refresh token of a session.
    refresh_token: Option<String>,
    /// With `client_credentials`: names of roles, separated by blanks; all of the API key, if nothing is said.
    scope: Option<String>,
    /// The id of an API key, unless it is in `Authorization: Basic`.
    client_id: Option<String>,
    /// The API key.
    client_secret: Option<String>,
}

/// Tokens (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
#[schema(as = TokenResponse)]
pub(crate) struct TokenResponseBody {
    /// An access token (RFC 9068), for `Authorization: Bearer`.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    access_token: Secret<String>,
    /// `Bearer`, or `DPoP` if it is bound to a key.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Its life in seconds.
    expires_in: i64,
    /// The token for the next refresh; programs have none.
    #[serde(serialize_with = "wiped::shown_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    refresh_token: Option<Secret<String>>,
    /// The roles of a program's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Get an access token for an API key, or the next tokens of a session.
///
/// A program authenticates with the id of its API key and the key itself, by HTTP Basic or in the form. Its token has the key's
/// tenant and roles and ends with the key. A session's refresh token needs no client; it changes with every use.
#[utoipa::path(post, path = "/oauth2/token", tag = "auth", operation_id = "oauth_token",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Tokens.", body = TokenResponseBody)))]
pub(crate) async fn token(State(app): State<App>, mut form: Form) -> Result<Json<TokenResponseBody>, OAuthError> {
    let client = form.client().await?;
    let grant = form.required("grant_type")?;
    let outcome = match grant.expose().as_str() {
        "client_credentials" => of_client(&app, client, form).await,
        "refresh_token" => of_session(&app, client, form).await,
        _ => Err(OAuthError::new(
            OAuthCode::UnsupportedGrantType,
            "the grant types are client_credentials and refresh_token",
        )),
    };
    app.metrics.token(if outcome.is_ok() { TokenAct::issued } else { TokenAct::refused });
    if let Ok(given) = &outcome {
        app.metrics.issued(TokenType::access);
        if given.refresh_token.is_some() {
            app.metrics.issued(TokenType::refresh);
        }
    }
    outcome.map(Json)
}

async fn of_client(app: &App, client: Option<Arc<Call>>, mut form: Form) -> Result<TokenResponseBody, OAuthError> {
    let call = client.ok_or(OAuthError::new(OAuthCode::InvalidClient, "the client did not authenticate"))?;
    let call = Call { request: form.proven()?, ..(*call).clone() };
    let scope = form.take("scope");
    let roles = scope.map(|scope| RoleSet::from_text(scope.expose())).transpose();
    let roles = roles.map_err(|_| of_grant(ClientGrantError::Roles))?;
    let wanted = Wanted { roles, ..Wanted::default() };
    let (token, roles) = tokens::grant(&app.instance, &call, wanted).await.map_err(of_grant)?;
    Ok(TokenResponseBody {
        token_type: token.scheme(),
        access_token: token.text,
        expires_in: token.expires_in,
        refresh_token: None,
        scope: Some(roles.to_text()),
    })
}

async fn of_session(app: &App, client: Option<Arc<Call>>, mut form: Form) -> Result<TokenResponseBody, OAuthError> {
    if client.is_some() {
        let whose = "refresh tokens are given to people, not to this client";
        return Err(OAuthError::new(OAuthCode::UnauthorizedClient, whose));
    }
    if form.take("scope").is_some() {
        return Err(OAuthError::new(OAuthCode::InvalidScope, "a session has the roles of its person"));
    }
    let text = form.required("refresh_token")?;
    let info = form.proven()?;
    let tokens = sessions::refresh(&app.instance, &info, &text).await.map_err(of_refresh)?;
    Ok(TokenResponseBody {
        token_type: tokens.access.scheme(),
        access_token: tokens.access.text,
        expires_in: tokens.access.expires_in,
        refresh_token: Some(tokens.refresh),
        scope: None,
    })
}
