//! The contracts of the ports.

use std::time::Duration;

use chancery_domain::time::Timestamp;
use chancery_redis::{RedisLadders, RedisLimiter, RedisReplays, testing::Server};

/// By the clock of Redis.
async fn wait(_: &Server, now: Timestamp, millis: u64) -> Timestamp {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Timestamp::from_micros(now.as_micros() + i64::try_from(millis * 1_000).unwrap())
}

mod limiter {
    use super::*;

    async fn open() -> Option<(Server, RedisLimiter)> {
        let server = Server::start().await?;
        let limiter = RedisLimiter::new(server.link().await);
        Some((server, limiter))
    }

    chancery_testkit::limiter_conformance!(open, wait);
}

mod ladders {
    use super::*;

    async fn open() -> Option<(Server, RedisLadders)> {
        let server = Server::start().await?;
        let ladders = RedisLadders::new(server.link().await);
        Some((server, ladders))
    }

    chancery_testkit::ladders_conformance!(open, wait);
}

mod replays {
    use super::*;

    async fn open() -> Option<(Server, RedisReplays)> {
        let server = Server::start().await?;
        let replays = RedisReplays::new(server.link().await);
        Some((server, replays))
    }

    chancery_testkit::replays_conformance!(open, wait);
}
