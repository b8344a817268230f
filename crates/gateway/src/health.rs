//! Asks servers whether they are well.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, uri::PathAndQuery};
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
    let Ok(path) = PathAndQuery::try_from(path) else { return false };
    let mut request = Request::new(Body::empty());
    server.address(&mut request, &path).is_ok()
        && server.client.send(request).await.is_ok_and(|response| response.status().is_success())
}
