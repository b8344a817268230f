//! Verified API keys that nodes leave for each other: sealed, so that nothing here has to be trusted.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_domain::{api_keys::ApiKeyShelf, ids::ApiKeyId};

use crate::Link;

/// Leaves them in Redis, each with an end. While it is away there is nothing to find, and nothing is left.
pub struct RedisShelf(Arc<Link>);

impl RedisShelf {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self(link)
    }
}

#[async_trait]
impl ApiKeyShelf for RedisShelf {
    async fn find(&self, id: ApiKeyId) -> Option<Vec<u8>> {
        let key = key(id);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let found = |mut connection| async move { command.query_async::<Option<Vec<u8>>>(&mut connection).await };
        self.0.run(&key, found).await.ok().flatten()
    }

    /// In the background: the request that looked the key up does not wait for it.
    async fn put(&self, id: ApiKeyId, sealed: Vec<u8>, seconds: u32) {
        let link = Arc::clone(&self.0);
        tokio::spawn(async move {
            let key = key(id);
            let mut command = redis::cmd("SET");
            command.arg(&key).arg(sealed).arg("EX").arg(seconds.max(1));
            // Lost, another node looks it up itself.
            let put = |mut connection| async move { command.query_async::<()>(&mut connection).await };
            let _ = link.run(&key, put).await;
        });
    }

    /// Lost, it is worth nothing all the same: the store's epoch says that it is old.
    async fn remove(&self, id: ApiKeyId) {
        let key = key(id);
        let mut command = redis::cmd("UNLINK");
        command.arg(&key);
        let remove = |mut connection| async move { command.query_async::<()>(&mut connection).await };
        let _ = self.0.run(&key, remove).await;
    }
}

fn key(id: ApiKeyId) -> String {
    format!("ak:{id}")
}
