//! An empty handler behind the same TCP: `empty-axum 127.0.0.1:PORT`.

use axum::Router;
use axum::routing::post;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: empty-axum ADDRESS")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, Router::new().route("/", post(|| async {}))).await?;
        Ok(())
    })
}
