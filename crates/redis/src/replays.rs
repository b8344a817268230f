//! What must not count twice on any node.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_domain::{
    instance::Failure,
    replays::{Replays, Seen},
    time::Timestamp,
};
use data_encoding::HEXLOWER;

use crate::Link;

/// Remembers in Redis. While it is away everything is refused: what nobody remembers could come again.
pub struct RedisReplays(Arc<Link>);

impl RedisReplays {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self(link)
    }
}

#[async_trait]
impl Replays for RedisReplays {
    /// By the clock of Redis.
    async fn seen(&self, what: &Seen, seconds: u32, _: Timestamp) -> Result<bool, Failure> {
        let key = key(what);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(1).arg("NX");
        command.arg("PX").arg(u64::from(seconds.max(1)) * 1_000);
        let set = |mut connection| async move { command.query_async::<Option<String>>(&mut connection).await };
        let set = self.0.run(&key, set).await?;
        Ok(set.is_none())
    }

    async fn forget(&self, what: &Seen) -> Result<(), Failure> {
        let key = key(what);
        let mut command = redis::cmd("UNLINK");
        command.arg(&key);
        let delete = |mut connection| async move { command.query_async::<u64>(&mut connection).await };
        self.0.run(&key, delete).await?;
        Ok(())
    }
}

fn key(what: &Seen) -> String {
    format!("rp:{}", HEXLOWER.encode(what))
}
