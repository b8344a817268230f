//! nginx's `auth_request`: GET, with what its configuration says. It knows 2xx, 401 and 403; whatever else it makes 500 of, and
//! `auth_request_set` tells it which it was.

use axum::{extract::State, response::Response};
use chancery_middleware::Problem;
use http::{HeaderName, request::Parts};

use super::{answer, asked::AskedBy, named};
use crate::App;

const METHOD: HeaderName = HeaderName::from_static("x-original-method");
const TARGET: HeaderName = HeaderName::from_static("x-original-uri");

/// Whether a request that nginx got may go on.
///
/// 200 names the caller in `X-Auth-Assertion` and the other `X-Auth-*` headers. Only proxies of `server.trusted_proxies` may ask.
#[utoipa::path(get, path = "/authz/auth-request", tag = "auth", params(AskedBy),
    responses((status = 200, description = "It may.")))]
pub(crate) async fn auth_request(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    let wanted = AskedBy::read(&parts).and_then(|asked| asked.wanted());
    answer(&app, parts, wanted, |parts| named(&parts.headers, &METHOD, &TARGET)).await
}
