//! Limits that nodes share: one call of one script for all limits of a request.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use chancery_domain::{
    instance::Failure,
    limits::{Answer, Ask, Limit, Limiter, LocalLimiter, OnLoss, Together, allowed},
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use redis::Script;

use crate::{
    Link,
    denied::Denied,
    herald::{Forgotten, Word, done_and_said},
    link::Lost,
};

/// What the script is told of each question, and what it says.
const ARGUMENTS: &str = include_str!("take.lua");
const WORDS: usize = 4;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(ARGUMENTS));

/// Counts in Redis, and in this process too.
///
/// What this node has let through it counts itself: against the whole limit, so that a Redis that was flushed or came back empty frees
/// nobody here; against the node's part of the limit while Redis is away. Who was refused by Redis is refused here for a while without
/// asking again, so that a flood ends in this process.
pub struct RedisLimiter {
    link: Arc<Link>,
    local: LocalLimiter,
    denied: Denied,
}

impl RedisLimiter {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, local: LocalLimiter::default(), denied: Denied::default() }
    }

    /// Forgets what this process counted: another node was told to.
    pub fn forget_here(&self, forgotten: &Forgotten) {
        let Forgotten { together, policy, of } = *forgotten;
        self.denied.forget((policy, of));
        self.local.forget_subject(&together, policy, of);
    }

    async fn shared(&self, together: &Together, asks: &[Ask<'_>]) -> Result<Vec<Answer>, Lost> {
        let mut call = TAKE.prepare_invoke();
        for ask in asks {
            call.key(key(together, ask));
            call.arg(ask.limit.count).arg(u64::from(ask.limit.seconds) * 1_000).arg(ask.cost);
            call.arg(u8::from(is_exact(ask))).arg(u8::from(ask.policy.shadow));
        }
        let said: Vec<u64> =
            self.link.run(|mut connection| async move { call.invoke_async(&mut connection).await }).await?;
        let answer = |(said, ask): (&[u64], &Ask<'_>)| match *said {
            [allowed, remaining, reset_ms, retry_ms] => Some(Answer {
                allowed: allowed == 1,
                limit: ask.limit.count,
                remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                reset_ms,
                retry_ms,
            }),
            _ => None,
        };
        let answers: Option<Vec<Answer>> = said.chunks(WORDS).zip(asks).map(answer).collect();
        answers.filter(|answers| answers.len() == asks.len()).ok_or(Lost::Away)
    }

    /// What this node says while Redis is away.
    fn alone(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp, lost: Lost) -> Result<Vec<Answer>, Failure> {
        if asks.iter().any(|ask| ask.policy.on_loss == OnLoss::Closed && !ask.policy.shadow) {
            return Err(lost.into());
        }
        let part = |ask: &Ask<'_>| {
            let count = (ask.limit.count / self.link.nodes()).max(1);
            // One that lets everybody through is asked for nothing.
            let cost = if ask.policy.on_loss == OnLoss::Open { 0 } else { ask.cost };
            (Limit { count, ..ask.limit }, cost)
        };
        let parts: Vec<Ask<'_>> = asks
            .iter()
            .map(|ask| {
                let (limit, cost) = part(ask);
                Ask { limit, cost, ..*ask }
            })
            .collect();
        let mut answers = self.local.judge(together, &parts, now);
        for (answer, ask) in answers.iter_mut().zip(asks) {
            if ask.policy.on_loss == OnLoss::Open {
                *answer = Answer { allowed: true, retry_ms: 0, ..*answer };
            }
        }
        Ok(answers)
    }
}

#[async_trait]
impl Limiter for RedisLimiter {
    async fn take(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Result<Vec<Answer>, Failure> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let here = self.local.look(together, asks, now);
        if let Some(answers) = self.denied.answers(asks, &here) {
            return Ok(answers);
        }
        match self.shared(together, asks).await {
            Ok(answers) => {
                if allowed(asks, &answers) {
                    let counted: Vec<Ask<'_>> =
                        asks.iter().zip(&answers).filter(|(_, answer)| answer.allowed).map(|(ask, _)| *ask).collect();
                    self.local.count(together, &counted, now);
                }
                self.denied.note(asks, &answers);
                Ok(answers)
            }
            Err(lost) => self.alone(together, asks, now, lost),
        }
    }

    async fn forget(&self, together: &Together, asks: &[Ask<'_>]) -> Result<(), Failure> {
        let (mut pipe, mut words) = (redis::pipe(), Vec::new());
        for ask in asks {
            let forgotten = Forgotten { together: *together, policy: ask.policy.id(), of: ask.of };
            self.forget_here(&forgotten);
            pipe.cmd("UNLINK").arg(key(together, ask)).ignore();
            words.push(Word::Forgotten(forgotten));
        }
        Ok(done_and_said(&self.link, pipe, words).await?)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

fn is_exact(ask: &Ask<'_>) -> bool {
    ask.policy.exact && ask.limit.count <= chancery_domain::limits::MOST_EXACT
}

/// `rl:{TOGETHER}:POLICY:SUBJECT:KIND`. What is in braces decides on which node of a cluster it lies.
fn key(together: &Together, ask: &Ask<'_>) -> String {
    let mut key = String::with_capacity(96);
    let kind = if is_exact(ask) { 'e' } else { 'w' };
    let _ =
        write!(key, "rl:{{{}}}:{}:{}:{kind}", HEXLOWER.encode(together), ask.policy.name(), HEXLOWER.encode(&ask.of));
    key
}

#[cfg(test)]
mod tests {
    use chancery_domain::limits::Policy;

    use super::*;

    #[test]
    fn what_is_judged_together_lies_on_one_node_of_a_cluster() {
        let policy = Policy::new("login", Limit { count: 5, seconds: 60 }).unwrap();
        let key = |of| key(&[0xab; 16], &Ask { policy: &policy, limit: policy.limit, of, cost: 1 });
        let tag = format!("{{{}}}", "ab".repeat(16));
        assert_eq!(key([1; 16]), format!("rl:{tag}:login:{}:e", "01".repeat(16)));
        assert!(key([2; 16]).contains(&tag));
        let shadow = Ask { policy: &policy, limit: Limit { count: 500, seconds: 60 }, of: [1; 16], cost: 1 };
        assert!(super::key(&[0xab; 16], &shadow).ends_with(":w"), "another limit, another kind of counter");
    }
}
