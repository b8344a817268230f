//! Asks servers whether they are well.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Uri};
use tokio::task::JoinSet;

use crate::{
    Table, Upstream,
    upstream::{Health, Server},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The questions of one table; nobody asks any more when it is dropped.
pub(crate) struct Checks(#[expect(dead_code, reason = "asks as long as it lives")] JoinSet<()>);

/// Begins to ask. Needs a runtime.
pub(crate) fn begin(table: &Table) -> Checks {
    let mut tasks = JoinSet::new();
    for upstream in table.upstreams() {
        if let Some(health) = upstream.health().cloned() {
            tasks.spawn(async move {
                loop {
                    look(&upstream, &health).await;
                    tokio::time::sleep(health.every).await;
                }
            });
        }
    }
    Checks(tasks)
}

async fn look(upstream: &Arc<Upstream>, health: &Health) {
    for server in upstream.all() {
        let well = tokio::time::timeout(PATIENCE, is_well(server, &health.path)).await.unwrap_or(false);
        if server.found(well) != well {
            let (upstream, address) = (upstream.name(), &server.address);
            tracing::warn!(
                upstream,
                well,
                "The server {address} of `{upstream}` is {}",
                if well { "well" } else { "not well" }
            );
        }
    }
}

async fn is_well(server: &Server, path: &str) -> bool {
    let uri = Uri::builder()
        .scheme(server.address.scheme())
        .authority(server.address.authority())
        .path_and_query(path)
        .build();
    let Ok(uri) = uri else { return false };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    if server.http2 {
        *request.version_mut() = http::Version::HTTP_2;
    }
    server.client.request(request).await.is_ok_and(|response| response.status().is_success())
}
