//! The counts and the replays of one process keep the contracts of their ports.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use chancery_domain::{limits::LocalLimiter, lockouts::LocalLadders, replays::LocalReplays, time::Timestamp};

/// Time passes as it is told.
async fn wait(_: &(), now: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_micros(now.as_micros() + i64::try_from(millis * 1_000).unwrap())
}

mod limiter {
    use super::*;

    async fn open() -> Option<((), LocalLimiter)> {
        Some(((), LocalLimiter::default()))
    }

    chancery_testkit::limiter_conformance!(open, wait);
}

mod ladders {
    use super::*;

    async fn open() -> Option<((), LocalLadders)> {
        Some(((), LocalLadders::default()))
    }

    chancery_testkit::ladders_conformance!(open, wait);
}

mod replays {
    use super::*;

    async fn open() -> Option<((), LocalReplays)> {
        Some(((), LocalReplays::default()))
    }

    chancery_testkit::replays_conformance!(open, wait);
}
