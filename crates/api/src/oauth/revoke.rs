//! `POST /oauth2/revoke`.

use axum::extract::State;
use chancery_domain::tokens::{self, RevokedToken};
use chancery_middleware::{Form, OAuthError};
use http::StatusCode;

use super::{PresentedForm, failed};
use crate::{App, metrics::TokenAct};

/// Revoke a token that one holds.
///
/// A refresh token ends its whole session. A person's token needs no client; a program's is revoked by that program. A token that
/// is unknown, over, or somebody else's is answered as one that was revoked.
#[utoipa::path(post, path = "/oauth2/revoke", tag = "auth", operation_id = "oauth_revoke",
    request_body(content = PresentedForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is not in force any more.")))]
pub(crate) async fn revoke_token(State(app): State<App>, mut form: Form) -> Result<StatusCode, OAuthError> {
    let client = form.client().await?;
    let text = form.required("token")?;
    let info = form.exchange().info();
    let ended = tokens::revoke(&app.instance, info, client.as_deref(), &text).await.map_err(failed)?;
    if ended != RevokedToken::Nothing {
        app.metrics.token(TokenAct::revoked);
    }
    Ok(StatusCode::OK)
}
