//! `POST /oauth2/introspect`.

use axum::{Json, extract::State};
use chancery_domain::{
    access::Role,
    sessions::Amr,
    tokens::{self, ActiveToken, TokenKind},
};
use chancery_middleware::{Form, OAuthCode, OAuthError};
use serde::Serialize;
use utoipa::ToSchema;

use super::failed;
use crate::{App, metrics::TokenAct};

/// A token to be looked at or revoked.
#[derive(ToSchema)]
#[schema(as = PresentedToken)]
#[expect(dead_code, reason = "describes a form; it is read parameter by parameter")]
pub(crate) struct PresentedForm {
    /// An access token or a refresh token.
    token: String,
    /// `access_token` or `refresh_token`; both are found without it.
    token_type_hint: Option<String>,
    /// The id of an API key, unless the client authenticates in a header.
    client_id: Option<String>,
    /// The API key.
    client_secret: Option<String>,
}

/// What a token is (RFC 7662 §2.2). Only `active` is there if it would not be accepted now, for whatever reason.
#[derive(Serialize, ToSchema)]
#[schema(as = Introspection)]
#[serde(untagged)]
pub(crate) enum IntrospectionBody {
    /// It would be accepted.
    Active(Box<ActiveBody>),
    /// It would not.
    Inactive {
        /// Always false.
        active: bool,
    },
}

/// What an active token says.
#[derive(Serialize, ToSchema)]
#[schema(as = ActiveToken)]
pub(crate) struct ActiveBody {
    /// Always true.
    active: bool,
    /// `Bearer`, `DPoP`, or `refresh_token`.
    token_type: &'static str,
    /// The names of its roles, separated by blanks.
    scope: String,
    /// To which client it was given: an API key, or `chancery` for people.
    client_id: String,
    /// Who holds it: a user or an API key.
    sub: String,
    /// The person's name at login.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The issuer.
    iss: String,
    /// The audience.
    aud: String,
    /// When it was issued, in seconds since 1970.
    iat: i64,
    /// When it ends, in seconds since 1970.
    exp: i64,
    /// The access token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// The tenant.
    tenant_id: String,
    /// The roles that it has now.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// How its person proved who it is (RFC 8176).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    amr: Option<Vec<Amr>>,
    /// When, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    /// The key that it is bound to (RFC 9449 §6.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<ConfirmationBody>,
}

/// A key, by its thumbprint (RFC 7638).
#[derive(Serialize, ToSchema)]
#[schema(as = Confirmation)]
pub(crate) struct ConfirmationBody {
    /// The thumbprint.
    jkt: String,
}

impl ActiveBody {
    fn of(token: ActiveToken, issuer: &str) -> Self {
        Self {
            active: true,
            token_type: match token.kind {
                TokenKind::Access if token.key.is_some() => "DPoP",
                TokenKind::Access => "Bearer",
                TokenKind::Refresh => "refresh_token",
            },
            scope: token.roles.to_text(),
            client_id: token.client_id,
            sub: token.subject.to_string(),
            username: token.username,
            iss: issuer.to_owned(),
            aud: issuer.to_owned(),
            iat: token.issued_at.as_seconds(),
            exp: token.expires_at.as_seconds(),
            jti: token.id.map(|id| id.to_string()),
            sid: token.session.map(|id| id.to_string()),
            tenant_id: token.tenant.to_string(),
            roles: token.roles.iter().collect(),
            auth_time: token.authentication.as_ref().map(|proof| proof.at.as_seconds()),
            amr: token.authentication.map(|proof| proof.methods),
            cnf: token.key.map(|jkt| ConfirmationBody { jkt }),
        }
    }
}

/// Ask what a token is.
///
/// The caller authenticates as for the API, or with HTTP Basic by the id of an API key and the key. A token that is unknown,
/// expired, revoked or of another tenant is answered `{"active": false}` and nothing else.
#[utoipa::path(post, path = "/oauth2/introspect", tag = "auth", operation_id = "oauth_introspect",
    request_body(content = PresentedForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it is.", body = IntrospectionBody)))]
pub(crate) async fn introspect(State(app): State<App>, mut form: Form) -> Result<Json<IntrospectionBody>, OAuthError> {
    let call = form.client().await?;
    let call = call.ok_or(OAuthError::new(OAuthCode::InvalidClient, "the client did not authenticate"))?;
    let text = form.required("token")?;
    let found = tokens::introspect(&app.instance, &call, &text).await.map_err(failed)?;
    app.metrics.token(if found.is_some() { TokenAct::active } else { TokenAct::inactive });
    Ok(Json(match found {
        Some(token) => IntrospectionBody::Active(Box::new(ActiveBody::of(token, &app.instance.settings().issuer))),
        None => IntrospectionBody::Inactive { active: false },
    }))
}
