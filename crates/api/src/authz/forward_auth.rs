//! Traefik's `forwardAuth`: GET, with `X-Forwarded-*`. It shows its client whatever answer is not 2xx.

use axum::{extract::State, response::Response};
use chancery_middleware::Problem;
use http::{HeaderName, request::Parts};

use super::{answer, asked::AskedBy, named};
use crate::App;

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Whether a request that Traefik got may go on.
///
/// 200 names the caller in `X-Auth-Assertion` and the other `X-Auth-*` headers. Only proxies of `server.trusted_proxies` may ask.
#[utoipa::path(get, path = "/authz/forward-auth", tag = "auth", params(AskedBy),
    responses((status = 200, description = "It may.")))]
pub(crate) async fn forward_auth(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    let wanted = AskedBy::read(&parts).and_then(|asked| asked.wanted());
    answer(&app, parts, wanted, |parts| named(&parts.headers, &METHOD, &TARGET)).await
}
