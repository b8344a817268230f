//! The public door for webhooks. Their form is each provider's own, so they are not in `openapi.json`.

use axum::{Router, response::Response, routing::get};
use chancery_middleware::{Code, PathOf, Problem, Unread};

use crate::App;

/// The door, and the door of providers that sign nothing.
pub(crate) const DOOR: &str = "/hooks/{tenant_slug}/{source_id}";
pub(crate) const DOOR_WITH_TOKEN: &str = "/hooks/{tenant_slug}/{source_id}/{token}";

/// The routes of the door.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(DOOR, get(shake).post(receive))
        .route(DOOR_WITH_TOKEN, get(no_handshake).post(receive_with_token))
}

/// A provider asks whether whoever is here knows what was agreed on.
async fn shake(PathOf((slug, source)): PathOf<(String, String)>, asked: Unread) -> Result<Response, Problem> {
    asked.shake((&slug, &source)).await
}

/// Only providers that sign nothing have a token in the path, and none of them asks.
async fn no_handshake() -> Problem {
    Code::MethodNotAllowed.into()
}

async fn receive(PathOf((slug, source)): PathOf<(String, String)>, sent: Unread) -> Result<Response, Problem> {
    sent.receive((&slug, &source), None).await
}

async fn receive_with_token(
    PathOf((slug, source, token)): PathOf<(String, String, String)>,
    sent: Unread,
) -> Result<Response, Problem> {
    sent.receive((&slug, &source), Some(&token)).await
}
