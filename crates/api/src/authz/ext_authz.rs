//! Envoy's `ext_authz` over HTTP: the request's own method and path, behind our prefix. The query is the client's, so what Envoy's
//! configuration says comes in headers that it sets over whatever the client sent.

use axum::{extract::State, response::Response};
use chancery_middleware::Problem;
use http::{HeaderName, request::Parts};

use super::{Original, Wanted, answer, only, read_target, unreadable};
use crate::App;

/// Everything below the prefix, and the root itself, which is no `{*path}`. OpenAPI has no words for that, nor for any method, so it is not in the document.
pub(crate) const ROUTES: [&str; 2] = ["/authz/ext-authz/{*path}", "/authz/ext-authz/"];

/// What stands before the path that a client asked Envoy for.
pub(crate) const PREFIX: &str = "/authz/ext-authz";
const NAME: HeaderName = HeaderName::from_static("x-chancery-route");
const ROLES: HeaderName = HeaderName::from_static("x-chancery-roles");
const PREFLIGHTS: HeaderName = HeaderName::from_static("x-chancery-preflights");
const AUDIT: HeaderName = HeaderName::from_static("x-chancery-audit");

/// Whether a request that Envoy got may go on.
pub(crate) async fn ext_authz(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    let wanted = wanted(&parts);
    answer(&app, parts, wanted, |parts| {
        let whole = parts.uri.path_and_query().map_or("", |whole| whole.as_str());
        let target = whole.strip_prefix(PREFIX).and_then(read_target).ok_or_else(|| unreadable("the path"))?;
        Ok(Original { method: parts.method.clone(), target })
    })
    .await
}

fn wanted(parts: &Parts) -> Result<Wanted, Problem> {
    let headers = &parts.headers;
    Wanted::read([only(headers, &NAME)?, only(headers, &ROLES)?, only(headers, &PREFLIGHTS)?, only(headers, &AUDIT)?])
}
