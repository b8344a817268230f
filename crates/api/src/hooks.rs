//! The public door for webhooks. Their form is each provider's own, so they are not in `openapi.json`.

use axum::{Router, response::Response, routing::get};
use chancery_domain::webhooks::MAX_KEPT_BYTES;
use chancery_middleware::{Code, Hooked, PathOf, Problem};

use crate::App;

/// The routes of the door.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/hooks/{tenant_slug}/{source_id}", get(shake).post(receive))
        .route("/hooks/{tenant_slug}/{source_id}/{token}", get(no_handshake).post(receive_with_token))
}

/// A provider asks whether whoever is here knows what was agreed on.
async fn shake(PathOf((slug, source)): PathOf<(String, String)>, hooked: Hooked<0>) -> Result<Response, Problem> {
    hooked.shake((&slug, &source)).await
}

/// Only providers that sign nothing have a token in the path, and none of them asks.
async fn no_handshake() -> Problem {
    Problem::new(Code::NotFound)
}

async fn receive(
    PathOf((slug, source)): PathOf<(String, String)>,
    hooked: Hooked<MAX_KEPT_BYTES>,
) -> Result<Response, Problem> {
    hooked.receive((&slug, &source), None).await
}

async fn receive_with_token(
    PathOf((slug, source, token)): PathOf<(String, String, String)>,
    hooked: Hooked<MAX_KEPT_BYTES>,
) -> Result<Response, Problem> {
    hooked.receive((&slug, &source), Some(&token)).await
}
