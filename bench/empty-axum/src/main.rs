//! An empty handler behind the same TCP: `empty-axum 127.0.0.1:PORT`. For proxies: `/kib` has 1 KiB, `/auth` lets everybody in.

use axum::Router;
use axum::routing::{get, post};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: empty-axum ADDRESS")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let kib = "x".repeat(1024);
        let router = Router::new()
            .route("/", post(|| async {}))
            .route("/kib", get(|| async move { kib.clone() }))
            .route("/auth", get(|| async {}));
        axum::serve(listener, router).await?;
        Ok(())
    })
}
