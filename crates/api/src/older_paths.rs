//! Paths of older versions that have the same effect as those of today.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::map_request,
    routing::any_service,
};
use http::uri::{PathAndQuery, Uri};

/// Where older versions managed tenants. What lay below it lies below `/v1` now.
const TENANTS: &str = "/api/tenants";

/// The same door, by older paths too. It sees them as those of today, so that nothing else knows of them: not the log, not what is
/// asked of a caller.
pub(crate) fn with_older_paths(door: Router) -> Router {
    let older = any_service(door.clone()).layer(map_request(today));
    door.route(TENANTS, older.clone()).route(&format!("{TENANTS}/{{*rest}}"), older)
}

async fn today(mut request: Request) -> Request {
    let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let path = path.strip_prefix("/api").map(|rest| format!("/v1{rest}"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = path.and_then(|path| path.parse().ok());
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    // What the first look at the path left behind would be taken for a part of the second.
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().copied();
    request.extensions_mut().clear();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    request
}
