//! Failed logins that nodes count together.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use chancery_domain::{
    instance::Failure,
    limits::Together,
    lockouts::{KNOWN, Ladder, Ladders, LocalLadders, REMEMBERED},
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use redis::FromRedisValue;

use crate::{
    Link,
    herald::{Cleared, Word, done_and_said},
    link::Lost,
    script::Script,
};

static CLIMB: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("climb.lua")));
static BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for _, key in ipairs(KEYS) do if (tonumber(redis.call('HGET', key, 'n')) or 0) > 0 then redis.call('HINCRBY', key, 'n', -1) end end",
    )
});

/// Counts in Redis, and in this process too: what this node saw fail it knows without Redis, whatever becomes of that.
pub struct RedisLadders {
    link: Arc<Link>,
    local: LocalLadders,
}

impl RedisLadders {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, local: LocalLadders::default() }
    }

    /// Forgets what this process counted: another node was told to.
    ///
    /// # Errors
    ///
    /// None; the port has them.
    pub async fn clear_here(&self, cleared: &Cleared) -> Result<(), Failure> {
        self.local.clear(&cleared.together, &[cleared.ladder]).await
    }

    async fn climb_shared(&self, together: &Together, on: &[Ladder]) -> Result<u32, Lost> {
        let mut arguments = vec![REMEMBERED * 1_000];
        for ladder in on {
            let (share, most) = ladder.kind.shape();
            arguments.extend([share, most].map(i64::from));
        }
        self.run(&CLIMB, together, on, arguments).await
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        together: &Together,
        on: &[Ladder],
        arguments: Vec<i64>,
    ) -> Result<T, Lost> {
        let keys: Vec<String> = on.iter().map(|ladder| key(together, ladder)).collect();
        let first = keys.first().cloned().unwrap_or_default();
        let run = |mut connection| async move { script.run(&keys, &arguments, &mut connection).await };
        self.link.run(&first, run).await
    }
}

#[async_trait]
impl Ladders for RedisLadders {
    async fn climb(&self, together: &Together, on: &[Ladder], now: Timestamp) -> Result<Option<u32>, Failure> {
        if let Some(pause) = self.local.climb(together, on, now).await? {
            return Ok(Some(pause));
        }
        match self.climb_shared(together, on).await {
            Ok(0) => Ok(None),
            Ok(pause) => {
                self.local.step_back(together, on).await?;
                Ok(Some(pause))
            }
            // This node goes on with what it saw itself.
            Err(_) => Ok(None),
        }
    }

    async fn step_back(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure> {
        self.local.step_back(together, on).await?;
        // Lost, a failure too many is remembered for a day: stricter, not wrong.
        let _: Result<(), Lost> = self.run(&BACK, together, on, Vec::new()).await;
        Ok(())
    }

    async fn clear(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure> {
        self.local.clear(together, on).await?;
        let Some(first) = on.first() else { return Ok(()) };
        let (mut pipe, mut words) = (redis::pipe(), Vec::new());
        for ladder in on {
            pipe.cmd("UNLINK").arg(key(together, ladder)).ignore();
            words.push(Word::Cleared(Cleared { together: *together, ladder: *ladder }));
        }
        Ok(done_and_said(&self.link, &key(together, first), pipe, words).await?)
    }

    async fn know(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<(), Failure> {
        self.local.know(together, pair, now).await?;
        let (mut pipe, key) = (redis::pipe(), key(together, pair));
        pipe.cmd("UNLINK").arg(&key).ignore();
        pipe.cmd("SET").arg(known(together, pair)).arg(1).arg("PX").arg(KNOWN * 1_000).ignore();
        let cleared = Cleared { together: *together, ladder: *pair };
        let _ = done_and_said(&self.link, &key, pipe, vec![Word::Cleared(cleared)]).await;
        Ok(())
    }

    async fn knows(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<bool, Failure> {
        if self.local.knows(together, pair, now).await? {
            return Ok(true);
        }
        let key = known(together, pair);
        let mut command = redis::cmd("EXISTS");
        command.arg(&key);
        let there = |mut connection| async move { command.query_async::<bool>(&mut connection).await };
        let there = self.link.run(&key, there).await;
        Ok(there.unwrap_or(false))
    }
}

/// `ld:{TOGETHER}:KIND:SUBJECT`.
fn key(together: &Together, ladder: &Ladder) -> String {
    format!("ld:{{{}}}:{}:{}", HEXLOWER.encode(together), ladder.kind, HEXLOWER.encode(&ladder.of))
}

fn known(together: &Together, pair: &Ladder) -> String {
    format!("lk:{{{}}}:{}", HEXLOWER.encode(together), HEXLOWER.encode(&pair.of))
}
