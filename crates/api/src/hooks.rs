//! The public door for webhooks. Their form is each provider's own, so they are not in `openapi.json`.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use chancery_domain::webhooks::{self, Message, ReceiveError, Reply};
use chancery_middleware::{Code, PathOf, Problem, Unread};
use http::{StatusCode, header};

use crate::App;

/// The routes of the door.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/hooks/{tenant_slug}/{source_id}", get(shake).post(receive))
        .route("/hooks/{tenant_slug}/{source_id}/{token}", get(no_handshake).post(receive_with_token))
}

/// A provider asks whether whoever is here knows what was agreed on.
async fn shake(
    State(app): State<App>,
    PathOf((slug, source)): PathOf<(String, String)>,
    asked: Unread,
) -> Result<Response, Problem> {
    let shaken = webhooks::shake(&app.instance, asked.exchange.info(), (&slug, &source), &asked.query).await;
    shaken.map(answer).map_err(refused)
}

/// Only providers that sign nothing have a token in the path, and none of them asks.
async fn no_handshake() -> Problem {
    Problem::new(Code::NotFound)
}

async fn receive(
    State(app): State<App>,
    PathOf((slug, source)): PathOf<(String, String)>,
    sent: Unread,
) -> Result<Response, Problem> {
    take(&app, (&slug, &source, None), sent).await
}

async fn receive_with_token(
    State(app): State<App>,
    PathOf((slug, source, token)): PathOf<(String, String, String)>,
    sent: Unread,
) -> Result<Response, Problem> {
    take(&app, (&slug, &source, Some(&token)), sent).await
}

async fn take(
    app: &App,
    (slug, source, path_token): (&str, &str, Option<&str>),
    sent: Unread,
) -> Result<Response, Problem> {
    let hooked = sent.read(app.instance.settings().webhook_body_bytes as usize).await?;
    let message = Message { headers: &hooked.pairs(), path_token, body: &hooked.body };
    let taken = webhooks::receive(&app.instance, hooked.exchange.info(), (slug, source), &message).await;
    taken.map(answer).map_err(refused)
}

fn answer(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    match reply.body {
        Some(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => status.into_response(),
    }
}

/// One refusal for every reason; why stands in the log.
fn refused(error: ReceiveError) -> Problem {
    match error {
        ReceiveError::Unknown => Problem::new(Code::NotFound),
        ReceiveError::Refused(status, rejection) => {
            tracing::info!(reason = rejection.as_str(), "Refused a webhook");
            Problem::new(Code::WebhookRejected)
                .with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED))
        }
        ReceiveError::TooLong => Problem::new(Code::TooLarge),
        ReceiveError::Full => Problem::new(Code::Overloaded).retry_after(60),
        ReceiveError::Failed(failure) => failure.into(),
    }
}
